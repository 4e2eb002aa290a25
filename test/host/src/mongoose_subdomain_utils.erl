-module(mongoose_subdomain_utils).
-moduledoc "Subdomain templates: a whole domain name, or a prefix that goes before each domain.".

-export([make_subdomain_pattern/1, is_subdomain/3, get_fqdn/2]).

-type subdomain_pattern() :: {fqdn, binary()} | {prefix, binary()}.

-export_type([subdomain_pattern/0]).

-define(HOST_MARK, ".@HOST@").

-spec make_subdomain_pattern(string() | binary()) -> subdomain_pattern().
make_subdomain_pattern(Template) when is_list(Template) ->
    make_subdomain_pattern(list_to_binary(Template));
make_subdomain_pattern(Template) ->
    PrefixSize = byte_size(Template) - length(?HOST_MARK),
    case Template of
        <<Prefix:PrefixSize/binary, ?HOST_MARK>> -> {prefix, <<Prefix/binary, ".">>};
        _ -> {fqdn, Template}
    end.

-spec is_subdomain(subdomain_pattern(), Domain :: binary(), Subdomain :: binary()) -> boolean().
is_subdomain(Pattern, Domain, Subdomain) ->
    get_fqdn(Pattern, Domain) =:= Subdomain.

-spec get_fqdn(subdomain_pattern(), Domain :: binary()) -> binary().
get_fqdn({fqdn, Subdomain}, _Domain) -> Subdomain;
get_fqdn({prefix, Prefix}, Domain) -> <<Prefix/binary, Domain/binary>>.
