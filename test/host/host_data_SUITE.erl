-module(host_data_SUITE).
-moduledoc "Holds JIDs, XML, stanzas and forms to what a server's libraries do, with their quirks.".

-export([all/0]).
-export([a_jid_is_normalised_when_it_is_made/1,
         a_jid_is_read_from_text/1,
         malformed_text_is_no_jid/1,
         a_jid_is_written_as_text/1,
         a_jid_can_lose_and_change_its_resource/1,
         jids_are_compared_whole_or_bare/1,
         text_of_an_element_is_that_of_its_direct_children/1,
         a_path_leads_to_an_element_text_or_attribute/1,
         a_path_takes_the_first_match_and_never_goes_back/1,
         all_matches_of_a_path_are_found/1,
         children_are_found_by_namespace_and_attribute/1,
         a_text_that_equals_the_name_is_found_as_a_child/1,
         xml_is_printed_with_its_text_escaped/1,
         an_acc_knows_its_stanza/1,
         an_acc_takes_addresses_from_the_element_if_not_given/1,
         an_acc_without_a_stanza_has_none_of_its_fields/1,
         values_are_kept_by_namespace/1,
         appending_joins_lists_and_prepends_values/1,
         only_permanent_values_survive_a_strip/1,
         a_value_set_again_is_no_longer_permanent/1,
         deleted_values_are_gone/1,
         a_strip_for_a_recipient_changes_stanza_and_place/1,
         an_iq_becomes_a_record_and_an_element_again/1,
         the_namespace_of_an_iq_is_that_of_its_only_child/1,
         what_is_no_iq_is_told_from_what_is_a_wrong_one/1,
         an_error_reply_goes_back_with_the_error_first/1,
         errors_have_a_code_a_type_and_a_condition/1,
         a_form_is_found_among_the_children/1,
         fields_of_a_form_are_read/1,
         a_form_type_counts_when_it_is_the_only_one/1,
         a_form_is_made_in_order/1]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").

-define(FORM_NS, <<"jabber:x:data">>).
-define(JID, #jid{luser = <<"alice">>, lserver = <<"localhost">>, lresource = <<"Res">>}).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

%% JIDs

%% Confirms that user and server are lowered and the resource is not.
a_jid_is_normalised_when_it_is_made(_Config) ->
    ?assertEqual(?JID, jid:make(<<"Alice">>, <<"LocalHost">>, <<"Res">>)),
    ?assertEqual(?JID, jid:make({<<"Alice">>, <<"LocalHost">>, <<"Res">>})),
    ?assertEqual(?JID#jid{lresource = <<>>}, jid:make_bare(<<"ALICE">>, <<"localhost">>)),
    ?assertEqual(<<"żółw"/utf8>>, jid:nodeprep(<<"ŻÓŁW"/utf8>>)),
    ?assertMatch(#jid{luser = <<"Alice">>}, jid:make_noprep(<<"Alice">>, <<"h">>, <<>>)),
    ?assertEqual(error, jid:make(<<"a b">>, <<"localhost">>, <<>>)),
    ?assertEqual(error, jid:make(<<"alice">>, <<>>, <<>>)),
    ?assertEqual({<<"alice">>, <<"localhost">>, <<"Res">>},
                 jid:to_lower({<<"Alice">>, <<"LocalHost">>, <<"Res">>})),
    ?assertEqual(error, jid:to_lower({<<"a b">>, <<"localhost">>, <<>>})),
    ?assertEqual([true, false, false], [jid:is_nodename(U) || U <- [<<"a">>, <<>>, <<"a b">>]]).

%% Confirms that only the first slash ends the bare part.
a_jid_is_read_from_text(_Config) ->
    ?assertEqual(?JID, jid:from_binary(<<"Alice@LocalHost/Res">>)),
    ?assertEqual(#jid{lserver = <<"h">>}, jid:from_binary(<<"h">>)),
    ?assertEqual(#jid{lserver = <<"h">>, lresource = <<"r@x/y">>}, jid:from_binary(<<"h/r@x/y">>)),
    ?assertMatch(#jid{luser = <<"Alice">>}, jid:from_binary_noprep(<<"Alice@h">>)),
    ?assertEqual(?JID#jid{lresource = <<>>}, jid:binary_to_bare(<<"alice@localhost/Res">>)).

%% Confirms each fault of form and of size.
malformed_text_is_no_jid(_Config) ->
    Part = binary:copy(<<"x">>, 1024),
    Faults = [<<>>, <<"@h">>, <<"a@">>, <<"/r">>, <<"a@/r">>, <<"a@b@c">>, <<"a b@h">>,
              <<Part/binary, "@h">>, <<"a@", Part/binary>>, <<"a@h/", Part/binary>>,
              binary:copy(<<"x">>, 3071)],
    [?assertEqual({Text, error}, {Text, jid:from_binary(Text)}) || Text <- Faults],
    ?assertEqual(error, jid:from_binary_noprep(<<"a@b@c">>)),
    Longest = binary:part(Part, 0, 1023),
    ?assertMatch(#jid{luser = Longest}, jid:from_binary(<<Longest/binary, "@h">>)).

%% Confirms which separators are left out.
a_jid_is_written_as_text(_Config) ->
    ?assertEqual(<<"alice@localhost/Res">>, jid:to_binary(?JID)),
    ?assertEqual(<<"alice@localhost">>, jid:to_binary({<<"alice">>, <<"localhost">>})),
    ?assertEqual(<<"alice@localhost">>, jid:to_binary({<<"alice">>, <<"localhost">>, <<>>})),
    ?assertEqual(<<"localhost/Res">>, jid:to_binary({<<>>, <<"localhost">>, <<"Res">>})),
    ?assertEqual(<<"localhost">>, jid:to_binary(#jid{lserver = <<"localhost">>})),
    ?assertEqual(<<"As It Is">>, jid:to_binary(<<"As It Is">>)),
    ?assertEqual(<<"alice@localhost">>, jid:to_bare_binary(?JID)),
    ?assertEqual(<<"alice@localhost">>, jid:to_bare_binary(<<"Alice@localhost/Res">>)),
    ?assertEqual(error, jid:to_bare_binary(<<"@">>)).

%% Confirms the bare forms and a new resource.
a_jid_can_lose_and_change_its_resource(_Config) ->
    ?assertEqual(?JID#jid{lresource = <<>>}, jid:to_bare(?JID)),
    ?assertEqual({<<"a">>, <<"h">>, <<>>}, jid:to_bare({<<"a">>, <<"h">>, <<"r">>})),
    ?assertEqual({<<"alice">>, <<"localhost">>}, jid:to_lus(?JID)),
    ?assertEqual({error, error}, {jid:to_bare(error), jid:to_lus(error)}),
    ?assertEqual(?JID#jid{lresource = <<"x">>}, jid:replace_resource(?JID, <<"x">>)),
    ?assertEqual(error, jid:replace_resource(?JID, <<0>>)).

%% Confirms both comparisons.
jids_are_compared_whole_or_bare(_Config) ->
    Other = ?JID#jid{lresource = <<"other">>},
    ?assertEqual({true, false}, {jid:are_equal(?JID, ?JID), jid:are_equal(?JID, Other)}),
    ?assert(jid:are_bare_equal(?JID, Other)),
    ?assertNot(jid:are_bare_equal(?JID, ?JID#jid{luser = <<"bob">>})).

%% XML

%% Confirms that text is joined, may be iodata, and that a tuple of two is no text.
text_of_an_element_is_that_of_its_direct_children(_Config) ->
    Children = [text(["a", <<"b">>]), el(<<"x">>, [text(<<"not this">>)]), {xmlcdata, <<"nor">>},
                text(<<"c">>)],
    ?assertEqual(<<"abc">>, exml_query:cdata(el(<<"body">>, Children))),
    ?assertEqual(<<>>, exml_query:cdata(el(<<"body">>, []))).

%% Confirms the steps that may end a path, and the difference of empty and missing.
a_path_leads_to_an_element_text_or_attribute(_Config) ->
    Inner = (el(<<"inner">>, [text(<<"t">>)]))#xmlel{attrs = #{<<"k">> => <<"v">>}},
    Top = el(<<"top">>, [el(<<"outer">>, [Inner]), el(<<"empty">>, [])]),
    ?assertEqual(Top, exml_query:path(Top, [])),
    ?assertEqual(Inner, exml_query:path(Top, [{element, <<"outer">>}, {element, <<"inner">>}])),
    Steps = [{element, <<"outer">>}, {element_with_attr, <<"k">>, <<"v">>}],
    ?assertEqual(<<"t">>, exml_query:path(Top, Steps ++ [cdata])),
    ?assertEqual(<<"v">>, exml_query:path(Top, Steps ++ [{attr, <<"k">>}])),
    ?assertEqual(none, exml_query:path(Top, Steps ++ [{attr, <<"x">>}], none)),
    ?assertEqual(<<>>, exml_query:path(Top, [{element, <<"empty">>}, cdata])),
    ?assertEqual(undefined, exml_query:path(Top, [{element, <<"missing">>}, cdata])),
    ?assertEqual(none, exml_query:path(Top, [{element, <<"missing">>}, {element, <<"x">>}], none)).

%% Confirms that the second of two children is not looked into.
a_path_takes_the_first_match_and_never_goes_back(_Config) ->
    Top = el(<<"top">>, [el(<<"a">>, []), el(<<"a">>, [el(<<"b">>, [])])]),
    ?assertEqual(undefined, exml_query:path(Top, [{element, <<"a">>}, {element, <<"b">>}])),
    ?assertEqual([el(<<"b">>, [])],
                 exml_query:paths(Top, [{element, <<"a">>}, {element, <<"b">>}])).

%% Confirms that each last step works for several elements.
all_matches_of_a_path_are_found(_Config) ->
    Item = fun(Value) -> (el(<<"i">>, [text(Value)]))#xmlel{attrs = #{<<"k">> => Value}} end,
    Top = el(<<"top">>, [Item(<<"1">>), text(<<"i">>), Item(<<"2">>), el(<<"j">>, [])]),
    ?assertEqual([<<"1">>, <<"2">>], exml_query:paths(Top, [{element, <<"i">>}, cdata])),
    ?assertEqual([<<"2">>], exml_query:paths(Top, [{element_with_attr, <<"k">>, <<"2">>}, cdata])),
    ?assertEqual([], exml_query:paths(Top, [{element, <<"j">>}, {attr, <<"k">>}])),
    ?assertEqual([Item(<<"1">>), Item(<<"2">>)], exml_query:subelements(Top, <<"i">>)).

%% Confirms each finder with a match, a near miss and a default.
children_are_found_by_namespace_and_attribute(_Config) ->
    A = (el(<<"x">>, []))#xmlel{attrs = #{<<"xmlns">> => <<"ns:a">>}},
    B = (el(<<"x">>, []))#xmlel{attrs = #{<<"xmlns">> => <<"ns:b">>, <<"id">> => <<"1">>}},
    Top = el(<<"top">>, [text(<<"t">>), el(<<"x">>, []), A, B]),
    ?assertEqual(B, exml_query:subelement_with_ns(Top, <<"ns:b">>)),
    ?assertEqual(none, exml_query:subelement_with_ns(Top, <<"ns:c">>, none)),
    ?assertEqual(A, exml_query:subelement_with_name_and_ns(Top, <<"x">>, <<"ns:a">>)),
    ?assertEqual(undefined, exml_query:subelement_with_name_and_ns(Top, <<"y">>, <<"ns:a">>)),
    ?assertEqual(B, exml_query:subelement_with_attr(Top, <<"id">>, <<"1">>)),
    ?assertEqual(B, exml_query:path(Top, [{element_with_ns, <<"ns:b">>}])),
    ?assertEqual(A, exml_query:path(Top, [{element_with_ns, <<"x">>, <<"ns:a">>}])),
    ?assertEqual(<<"ns:a">>, exml_query:attr(A, <<"xmlns">>)),
    ?assertEqual(none, exml_query:attr(A, <<"id">>, none)).

%% Confirms the quirk, and that reading the text of what was found crashes.
a_text_that_equals_the_name_is_found_as_a_child(_Config) ->
    Top = el(<<"message">>, [text(<<"body">>), el(<<"body">>, [text(<<"Hi">>)])]),
    Found = exml_query:subelement(Top, <<"body">>),
    ?assertEqual(text(<<"body">>), Found),
    ?assertError(function_clause, exml_query:cdata(Found)),
    ?assertEqual(none, exml_query:subelement(Top, <<"other">>, none)).

%% Confirms text, attributes, an empty element and a CDATA section.
xml_is_printed_with_its_text_escaped(_Config) ->
    Top = (el(<<"a">>, [text(<<"1 < 2 & \"ż\""/utf8>>), el(<<"b">>, []),
                             #xmlcdata{content = <<"<raw>">>, style = cdata}]))
              #xmlel{attrs = #{<<"k">> => <<"it's">>}},
    ?assertEqual(<<"<a k='it&apos;s'>1 &lt; 2 &amp; &quot;ż&quot;<b/><![CDATA[<raw>]]></a>"/utf8>>,
                 exml:to_binary(Top)).

%% Accumulators

%% Confirms the fields of an acc with a stanza.
an_acc_knows_its_stanza(_Config) ->
    Before = erlang:system_time(microsecond),
    Packet = (el(<<"message">>, []))#xmlel{attrs = #{<<"type">> => <<"chat">>}},
    To = jid:from_binary(<<"bob@h">>),
    Acc = acc(#{element => Packet, from_jid => ?JID, to_jid => To, host_type => <<"type">>}),
    ?assertEqual({<<"type">>, <<"localhost">>},
                 {mongoose_acc:host_type(Acc), mongoose_acc:lserver(Acc)}),
    ?assertEqual({?JID, To, Packet}, mongoose_acc:packet(Acc)),
    ?assertEqual({?JID, To, Packet}, {mongoose_acc:from_jid(Acc), mongoose_acc:to_jid(Acc),
                                      mongoose_acc:element(Acc)}),
    ?assertEqual({<<"message">>, <<"chat">>},
                 {mongoose_acc:stanza_name(Acc), mongoose_acc:stanza_type(Acc)}),
    ?assert(is_reference(mongoose_acc:ref(Acc))),
    ?assert(is_reference(mongoose_acc:stanza_ref(Acc))),
    ?assert(mongoose_acc:timestamp(Acc) >= Before).

%% Confirms the parsing of from and to, and the crash without them.
an_acc_takes_addresses_from_the_element_if_not_given(_Config) ->
    Attrs = #{<<"from">> => <<"Alice@localhost/Res">>, <<"to">> => <<"bob@h">>},
    Packet = (el(<<"message">>, []))#xmlel{attrs = Attrs},
    ?assertEqual(?JID, mongoose_acc:from_jid(acc(#{element => Packet}))),
    ?assertError(_, acc(#{element => el(<<"message">>, [])})),
    ?assertError(_, acc(#{element => Packet#xmlel{attrs = Attrs#{<<"to">> => <<"@">>}}})).

%% Confirms that nothing crashes without one.
an_acc_without_a_stanza_has_none_of_its_fields(_Config) ->
    Acc = acc(#{}),
    Readers = [host_type, packet, element, from_jid, to_jid, stanza_name, stanza_type, stanza_ref],
    ?assertEqual([undefined], lists:usort([mongoose_acc:Reader(Acc) || Reader <- Readers])).

%% Confirms the readers for present, other and missing keys.
values_are_kept_by_namespace(_Config) ->
    Acc = mongoose_acc:set(ns, [{a, 1}, {b, 2}], mongoose_acc:set(other, a, 3, acc(#{}))),
    ?assertEqual([{a, 1}, {b, 2}], lists:sort(mongoose_acc:get(ns, Acc))),
    ?assertEqual([], mongoose_acc:get(unknown, Acc)),
    ?assertEqual({1, 3}, {mongoose_acc:get(ns, a, Acc), mongoose_acc:get(other, a, Acc)}),
    ?assertEqual(none, mongoose_acc:get(ns, c, none, Acc)),
    ?assertError({badkey, {ns, c}}, mongoose_acc:get(ns, c, Acc)).

%% Confirms both kinds of value, starting from nothing.
appending_joins_lists_and_prepends_values(_Config) ->
    Acc1 = mongoose_acc:append(ns, k, [1, 2], acc(#{})),
    Acc2 = mongoose_acc:append(ns, k, [3], Acc1),
    ?assertEqual([1, 2, 3], mongoose_acc:get(ns, k, Acc2)),
    ?assertEqual([x, 1, 2, 3], mongoose_acc:get(ns, k, mongoose_acc:append(ns, k, x, Acc2))),
    ?assertEqual([x], mongoose_acc:get(ns, new, mongoose_acc:append(ns, new, x, Acc2))).

%% Confirms all ways to set a permanent value, and that built-in fields stay.
only_permanent_values_survive_a_strip(_Config) ->
    Acc = lists:foldl(fun(Change, A) -> Change(A) end, acc(#{statem_acc => changed}),
                      [fun(A) -> mongoose_acc:set_permanent(ns, a, 1, A) end,
                       fun(A) -> mongoose_acc:set_permanent(ns, [{b, 2}], A) end,
                       fun(A) -> mongoose_acc:set_permanent([{ns, c, 3}], A) end,
                       fun(A) -> mongoose_acc:set(ns, d, 4, A) end]),
    Stripped = mongoose_acc:strip(Acc),
    ?assertEqual([{a, 1}, {b, 2}, {c, 3}], lists:sort(mongoose_acc:get(ns, Stripped))),
    ?assertEqual([{ns, a}, {ns, b}, {ns, c}],
                 lists:sort(mongoose_acc:get_permanent_keys(Stripped))),
    ?assertEqual([{ns, a, 1}, {ns, b, 2}, {ns, c, 3}],
                 lists:sort(mongoose_acc:get_permanent_fields(Acc))),
    ?assertEqual({mongoose_acc:ref(Acc), mongoose_acc:timestamp(Acc)},
                 {mongoose_acc:ref(Stripped), mongoose_acc:timestamp(Stripped)}),
    ?assertNotEqual(changed, maps:get(statem_acc, Stripped)).

%% Confirms that set and append take permanence away.
a_value_set_again_is_no_longer_permanent(_Config) ->
    Acc = mongoose_acc:set_permanent(ns, [{a, 1}, {b, [2]}], acc(#{})),
    Again = mongoose_acc:append(ns, b, [3], mongoose_acc:set(ns, a, 0, Acc)),
    ?assertEqual([], mongoose_acc:get(ns, mongoose_acc:strip(Again))).

%% Confirms the three ways to delete, for permanent values, too.
deleted_values_are_gone(_Config) ->
    Acc = mongoose_acc:set_permanent(ns, [{a, 1}, {b, 2}, {c, 3}], acc(#{})),
    WithoutA = mongoose_acc:delete(ns, a, Acc),
    ?assertEqual([{b, 2}, {c, 3}], lists:sort(mongoose_acc:get(ns, WithoutA))),
    ?assertEqual([{b, 2}], mongoose_acc:get(ns, mongoose_acc:delete_many(ns, [a, c], Acc))),
    ?assertEqual([], mongoose_acc:get(ns, mongoose_acc:delete(ns, Acc))),
    ?assertEqual([], mongoose_acc:get_permanent_keys(mongoose_acc:delete(ns, Acc))).

%% Confirms that the host type is not kept when none is given.
a_strip_for_a_recipient_changes_stanza_and_place(_Config) ->
    Packet = el(<<"message">>, []),
    To = jid:from_binary(<<"bob@h">>),
    Params = #{lserver => <<"h">>, element => Packet, from_jid => ?JID, to_jid => To},
    Acc = acc(#{host_type => <<"type">>}),
    Stripped = mongoose_acc:strip(Params, Acc),
    ?assertEqual({?JID, To, Packet}, mongoose_acc:packet(Stripped)),
    ?assertEqual({undefined, <<"h">>},
                 {mongoose_acc:host_type(Stripped), mongoose_acc:lserver(Stripped)}),
    Placed = mongoose_acc:strip(Params#{host_type => <<"t">>}, Acc),
    ?assertEqual(<<"t">>, mongoose_acc:host_type(Placed)).

%% IQs and errors

%% Confirms that a request has one element, an answer a list, and that text is left out.
an_iq_becomes_a_record_and_an_element_again(_Config) ->
    Query = el(<<"query">>, #{<<"xmlns">> => <<"ns">>}, [text(<<"kept">>)]),
    [begin
         Attrs = #{<<"id">> => <<"1">>, <<"type">> => atom_to_binary(Type)},
         Iq = jlib:iq_query_or_response_info(el(<<"iq">>, Attrs, [text(<<" ">>), Query])),
         ?assertEqual(#iq{id = <<"1">>, type = Type, xmlns = <<"ns">>, sub_el = SubEl}, Iq),
         ?assertEqual(el(<<"iq">>, Attrs, [Query]), jlib:iq_to_xml(Iq))
     end || {Type, SubEl} <- [{get, Query}, {set, Query}, {result, [Query]}, {error, [Query]}]],
    Spoken = jlib:iq_query_or_response_info(
               el(<<"iq">>, #{<<"type">> => <<"result">>, <<"xml:lang">> => <<"pl">>}, [])),
    ?assertEqual(#iq{id = <<>>, type = result, lang = <<"pl">>, sub_el = []}, Spoken).

%% Confirms that the error of an answer is passed over.
the_namespace_of_an_iq_is_that_of_its_only_child(_Config) ->
    Child = fun(Name, NS) -> el(Name, #{<<"xmlns">> => NS}, []) end,
    NS = fun(Children) ->
             Iq = jlib:iq_query_or_response_info(
                    el(<<"iq">>, #{<<"type">> => <<"error">>}, Children)),
             Iq#iq.xmlns
         end,
    ?assertEqual(<<"a">>, NS([Child(<<"q">>, <<"a">>), Child(<<"error">>, <<"b">>)])),
    ?assertEqual(<<>>, NS([Child(<<"q">>, <<"a">>), Child(<<"r">>, <<"b">>)])),
    ?assertEqual(<<>>, NS([Child(<<"error">>, <<"b">>)])).

%% Confirms each fault of a request.
what_is_no_iq_is_told_from_what_is_a_wrong_one(_Config) ->
    Query = el(<<"query">>, #{<<"xmlns">> => <<"ns">>}, []),
    Get = #{<<"type">> => <<"get">>},
    ?assertEqual(not_iq, jlib:iq_query_or_response_info(el(<<"message">>, Get, [Query]))),
    [?assertEqual(invalid, jlib:iq_query_or_response_info(el(<<"iq">>, Attrs, Children)))
     || {Attrs, Children} <- [{#{}, [Query]}, {#{<<"type">> => <<"put">>}, [Query]}, {Get, []},
                              {Get, [Query, Query]}, {Get, [el(<<"query">>, [])]}]].

%% Confirms that addresses change places as far as there are any.
an_error_reply_goes_back_with_the_error_first(_Config) ->
    Error = mongoose_xmpp_errors:forbidden(),
    Stanza = el(<<"iq">>, #{<<"from">> => <<"a">>, <<"to">> => <<"b">>, <<"id">> => <<"1">>,
                            <<"type">> => <<"get">>}, [el(<<"q">>, [])]),
    ?assertEqual(el(<<"iq">>, #{<<"from">> => <<"b">>, <<"to">> => <<"a">>, <<"id">> => <<"1">>,
                                <<"type">> => <<"error">>}, [Error, el(<<"q">>, [])]),
                 jlib:make_error_reply(Stanza, Error)),
    ?assertEqual(#{<<"from">> => <<"b">>, <<"type">> => <<"error">>},
                 (jlib:make_error_reply(el(<<"iq">>, #{<<"to">> => <<"b">>}, []), Error))
                     #xmlel.attrs),
    ?assertEqual(#{<<"from">> => <<"alice@localhost/Res">>, <<"to">> => <<"h">>},
                 (jlib:replace_from_to(?JID, jid:from_binary(<<"h">>),
                                       el(<<"iq">>, #{<<"to">> => <<"b">>}, [])))#xmlel.attrs).

%% Confirms one element as text, and the attributes of those that backends send or look for.
errors_have_a_code_a_type_and_a_condition(_Config) ->
    ?assertEqual(<<"<error code='400' type='modify'>"
                   "<bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>">>,
                 exml:to_binary(mongoose_xmpp_errors:bad_request())),
    Parts = fun(#xmlel{attrs = #{<<"code">> := Code, <<"type">> := Type},
                       children = [#xmlel{name = Condition}]}) -> {Code, Type, Condition} end,
    [?assertEqual(Expected, Parts(mongoose_xmpp_errors:Name()))
     || {Name, Expected} <-
            [{not_allowed, {<<"405">>, <<"cancel">>, <<"not-allowed">>}},
             {internal_server_error, {<<"500">>, <<"wait">>, <<"internal-server-error">>}},
             {feature_not_implemented, {<<"501">>, <<"cancel">>, <<"feature-not-implemented">>}},
             {item_not_found, {<<"404">>, <<"cancel">>, <<"item-not-found">>}},
             {remote_server_timeout, {<<"504">>, <<"wait">>, <<"remote-server-timeout">>}}]].

%% Forms

%% Confirms that name and namespace both count, and that the first one is taken.
a_form_is_found_among_the_children(_Config) ->
    Form = fun(Type) -> el(<<"x">>, #{<<"xmlns">> => ?FORM_NS, <<"type">> => Type}, []) end,
    Others = [el(<<"x">>, []), el(<<"y">>, #{<<"xmlns">> => ?FORM_NS}, [])],
    ?assertEqual(undefined, mongoose_data_forms:find_form(el(<<"q">>, Others))),
    ?assertEqual(Form(<<"a">>), mongoose_data_forms:find_form(
                                  el(<<"q">>, Others ++ [Form(<<"a">>), Form(<<"b">>)]))),
    ?assertEqual([true, false, false],
                 [mongoose_data_forms:is_form(El) || El <- [Form(<<"a">>) | Others]]).

%% Confirms fields without a value, with some, without a name, and with one given before.
fields_of_a_form_are_read(_Config) ->
    Fields = [text(<<"\n">>), el(<<"title">>, []), el(<<"field">>, [value(<<"lost">>)]),
              field(<<"none">>, []), field(<<"empty">>, [<<>>]),
              field(<<"two">>, [<<"1">>, <<"2">>]),
              field(<<"again">>, [<<"first">>]), field(<<"again">>, [<<"last">>])],
    Kvs = #{<<"none">> => [], <<"empty">> => [<<>>], <<"two">> => [<<"1">>, <<"2">>],
            <<"again">> => [<<"last">>]},
    ?assertEqual(#{kvs => Kvs}, mongoose_data_forms:parse_form_fields(el(<<"x">>, Fields))),
    ?assertEqual(#{kvs => Kvs, type => <<"submit">>},
                 mongoose_data_forms:parse_form_fields(
                   el(<<"x">>, #{<<"type">> => <<"submit">>}, Fields))).

%% Confirms that it stays a field otherwise.
a_form_type_counts_when_it_is_the_only_one(_Config) ->
    Parse = fun(Values) ->
                mongoose_data_forms:parse_form_fields(
                  el(<<"x">>, [field(<<"FORM_TYPE">>, Values), field(<<"a">>, [<<"1">>])]))
            end,
    ?assertEqual(#{ns => <<"ns">>, kvs => #{<<"a">> => [<<"1">>]}}, Parse([<<"ns">>])),
    [?assertEqual(#{kvs => #{<<"FORM_TYPE">> => Values, <<"a">> => [<<"1">>]}}, Parse(Values))
     || Values <- [[], [<<"one">>, <<"two">>]]].

%% Confirms the whole element, and that a form can be read again.
a_form_is_made_in_order(_Config) ->
    Form = mongoose_data_forms:form(
             #{type => <<"submit">>, ns => <<"ns">>, instructions => <<"Do.">>, title => <<"T">>,
               fields => [#{var => <<"a">>, values => [<<"1">>, <<"<">>]},
                          #{var => <<"b">>, type => <<"boolean">>, label => <<"B">>}]}),
    ?assertEqual(<<"<x type='submit' xmlns='jabber:x:data'>"
                   "<title>T</title><instructions>Do.</instructions>"
                   "<field type='hidden' var='FORM_TYPE'><value>ns</value></field>"
                   "<field var='a'><value>1</value><value>&lt;</value></field>"
                   "<field label='B' type='boolean' var='b'/></x>">>, exml:to_binary(Form)),
    ?assertEqual(#{type => <<"submit">>, ns => <<"ns">>,
                   kvs => #{<<"a">> => [<<"1">>, <<"<">>], <<"b">> => []}},
                 mongoose_data_forms:parse_form_fields(Form)),
    ?assertEqual(<<"<x type='form' xmlns='jabber:x:data'/>">>,
                 exml:to_binary(mongoose_data_forms:form(#{}))).

%% Helpers

acc(Params) ->
    mongoose_acc:new(maps:merge(#{location => #{}, lserver => <<"localhost">>}, Params)).

el(Name, Children) ->
    el(Name, #{}, Children).

el(Name, Attrs, Children) ->
    #xmlel{name = Name, attrs = Attrs, children = Children}.

field(Var, Values) ->
    el(<<"field">>, #{<<"var">> => Var}, [value(Value) || Value <- Values]).

value(Text) ->
    el(<<"value">>, [text(Text)]).

text(Content) ->
    #xmlcdata{content = Content}.
