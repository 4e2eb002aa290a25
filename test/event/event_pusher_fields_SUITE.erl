-module(event_pusher_fields_SUITE).
-moduledoc "What filters and others give, as checked fields; numbers and atoms as text.".

-behaviour(ct_suite).

-export([all/0]).
-export([metadata_comes_in_the_order_of_its_keys/1,
         atoms_are_text_but_for_those_of_json/1,
         a_wrong_value_is_named_by_its_key/1,
         integers_of_more_than_64_bits_are_text_in_json/1,
         numbers_are_decimal_digits_without_an_exponent/1,
         any_float_can_be_read_back/1]).

-include_lib("stdlib/include/assert.hrl").
-include_lib("proper/include/proper.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

%% Confirms it for keys of other alphabets as well.
metadata_comes_in_the_order_of_its_keys(_Config) ->
    ?assertEqual([{<<"a">>, 1}, {<<"b">>, <<"text">>}, {<<"zażółć"/utf8>>, 0.5},
                  {<<"日本"/utf8>>, 2}],
                 event_pusher_fields:metadata(#{b => <<"text">>, '日本' => 2, a => 1,
                                                'zażółć' => 0.5})).

%% Confirms that no receiver has to know how atoms are encoded.
atoms_are_text_but_for_those_of_json(_Config) ->
    Fields = [{a, true}, {b, false}, {c, null}, {d, undefined}, {e, 'zażółć'}, {f, 'ü'}],
    ?assertEqual({json, [{<<"a">>, true}, {<<"b">>, false}, {<<"c">>, null},
                         {<<"d">>, <<"undefined">>}, {<<"e">>, <<"zażółć"/utf8>>},
                         {<<"f">>, <<"ü"/utf8>>}]},
                 event_pusher_fields:json(Fields)),
    ?assertEqual([<<"true">>, <<"null">>, <<"ü"/utf8>>],
                 [event_pusher_fields:text(Value) || Value <- [true, null, <<"ü"/utf8>>]]).

%% Confirms it for each type that is none of those permitted.
a_wrong_value_is_named_by_its_key(_Config) ->
    [?assertError({bad_value, <<"ż"/utf8>>}, event_pusher_fields:metadata(#{'ż' => Value}))
     || Value <- ["list", [], {tuple}, #{}, self(), make_ref(), fun() -> ok end, <<1:7>>]],
    ?assertError(bad_key, event_pusher_fields:metadata(#{"list" => 1})).

%% Confirms both ends of what the native library takes as it is.
integers_of_more_than_64_bits_are_text_in_json(_Config) ->
    Table = [{-(1 bsl 63), -(1 bsl 63)}, {-(1 bsl 63) - 1, {number, <<"-9223372036854775809">>}},
             {1 bsl 64 - 1, 1 bsl 64 - 1}, {1 bsl 64, {number, <<"18446744073709551616">>}}],
    [?assertEqual({json, [{<<"a">>, Json}]}, event_pusher_fields:json([{a, Number}]))
     || {Number, Json} <- Table].

%% Confirms it where Erlang itself would write an exponent.
numbers_are_decimal_digits_without_an_exponent(_Config) ->
    Table = [{0, <<"0">>}, {-42, <<"-42">>}, {1 bsl 70, <<"1180591620717411303424">>},
             {0.1, <<"0.1">>}, {-1.5, <<"-1.5">>}, {0.0, <<"0.0">>}, {1000.0, <<"1000.0">>},
             {1.0e22, <<"10000000000000000000000.0">>}, {123456.7e3, <<"123456700.0">>},
             {-1.25e10, <<"-12500000000.0">>}, {1.0e-7, <<"0.0000001">>},
             {1.234e-10, <<"0.0000000001234">>}, {1.2345678901234567e16, <<"12345678901234568.0">>}],
    [?assertEqual(Text, event_pusher_fields:number_text(Number)) || {Number, Text} <- Table].

%% Confirms that no digit is lost at any size.
any_float_can_be_read_back(_Config) ->
    Any = ?LET(Bits, binary(8), case Bits of <<Float/float>> -> Float; _ -> 5.0e-324 end),
    Property = ?FORALL(Float, oneof([float(), Any, 5.0e-324, 1.7976931348623157e308]),
                       begin
                           Text = event_pusher_fields:number_text(Float),
                           binary_to_float(Text) =:= Float
                               andalso nomatch =:= binary:match(Text, <<"e">>)
                       end),
    ?assertEqual(true, proper:quickcheck(Property, [{numtests, 1000}, quiet])).
