-module(mongoose_config_validator).
-moduledoc "The checks that a config spec can name; any other pair of type and check crashes.".

-export([validate/3, validate_list/2, validate_section/2]).

-type type() :: boolean | binary | string | atom | integer | float | int_or_infinity | int_or_atom.
-type validator() :: any | non_empty | positive | non_negative | port | module | pool_name | shaper
                   | access_rule | subdomain_template | url | filename
                   | {enum, [term()]} | {module, Prefix :: atom()}.

-export_type([type/0, validator/0]).

-spec validate(Value :: term(), type(), validator()) -> ok.
validate(_Value, _Type, any) ->
    ok;
validate(Value, _Type, {enum, Allowed}) ->
    Text = io_lib:format("one of ~0tp", [Allowed]),
    check(lists:member(Value, Allowed), value_not_allowed, Text, Value);
validate(Value, binary, Check) when Check =:= non_empty; Check =:= url ->
    check(Value =/= <<>>, empty_value, "a text that is not empty", Value);
validate(Value, string, Check) when Check =:= non_empty; Check =:= url ->
    check(Value =/= "", empty_value, "a text that is not empty", Value);
validate(Value, atom, Check)
  when Check =:= non_empty; Check =:= pool_name; Check =:= shaper; Check =:= access_rule ->
    check(Value =/= '', empty_value, "a name that is not empty", Value);
validate(Value, integer, positive) ->
    check(Value > 0, value_out_of_range, "an integer above 0", Value);
validate(Value, integer, non_negative) ->
    check(Value >= 0, value_out_of_range, "an integer of at least 0", Value);
validate(Value, integer, port) ->
    IsPort = Value >= 0 andalso Value =< 65535,
    check(IsPort, value_out_of_range, "an integer from 0 to 65535", Value);
validate(infinity, int_or_infinity, Check) when Check =:= positive; Check =:= non_negative ->
    ok;
validate(Value, int_or_infinity, Check) when Check =:= positive; Check =:= non_negative ->
    validate(Value, integer, Check);
validate(Value, atom, module) ->
    check(is_module(Value), module_not_found, "the name of a module that can be loaded", Value);
validate(Value, atom, {module, Prefix}) ->
    validate(list_to_atom(lists:concat([Prefix, '_', Value])), atom, module);
validate(Value, binary, {module, Prefix}) ->
    validate(binary_to_atom(Value), atom, {module, Prefix});
validate(Value, Type, subdomain_template) when Type =:= string; Type =:= binary ->
    Example = mongoose_subdomain_utils:get_fqdn(
                mongoose_subdomain_utils:make_subdomain_pattern(Value), <<"example.com">>),
    check(is_domain_name(Example), invalid_subdomain_template,
          "a domain name, or a prefix followed by .@HOST@", Value);
validate(Value, string, filename) ->
    check(filelib:is_regular(Value), file_not_found, "the name of a file that exists", Value).

-spec validate_list([term()], any | non_empty | unique | unique_non_empty) -> ok.
validate_list(_Items, any) ->
    ok;
validate_list(Items, non_empty) ->
    check(Items =/= [], empty_list, "a list that is not empty", Items);
validate_list(Items, unique) ->
    IsUnique = length(lists:usort(Items)) =:= length(Items),
    check(IsUnique, duplicates_in_list, "a list without duplicates", Items);
validate_list(Items, unique_non_empty) ->
    validate_list(Items, non_empty),
    validate_list(Items, unique).

-spec validate_section([term()], any | non_empty) -> ok.
validate_section(_Items, any) ->
    ok;
validate_section(Items, non_empty) ->
    check(Items =/= [], empty_section, "a section that is not empty", Items).

check(true, _What, _Allowed, _Value) ->
    ok;
check(false, What, Allowed, Value) ->
    Text = io_lib:format("expected ~ts, got ~0tp", [Allowed, Value]),
    error(#{what => What, text => unicode:characters_to_binary(Text)}).

is_module(Name) ->
    code:ensure_loaded(Name) =:= {module, Name}.

is_domain_name(Name) ->
    Label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
    re:run(Name, "^(" ++ Label ++ "\\.)*" ++ Label ++ "$", [caseless, {capture, none}]) =:= match.
