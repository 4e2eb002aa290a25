-module(event_pusher_http_document_SUITE).
-moduledoc "Events as JSON documents and as CloudEvents, read by libraries of receivers.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_message_is_a_document_when_it_is_sent_and_when_it_is_delivered/1,
         a_message_in_a_room_names_the_room/1,
         presence_is_a_document_of_its_own/1,
         what_nobody_acknowledged_is_told_with_the_message/1,
         any_text_is_the_same_after_it_was_read/1,
         metadata_of_filters_has_a_place_of_its_own/1,
         what_has_no_text_and_what_is_no_message_is_not_posted/1,
         a_callback_decides_about_every_kind_of_event/1,
         a_callback_for_packets_decides_about_messages_alone/1,
         headers_of_a_callback_are_beside_those_of_the_document/1,
         a_structured_cloudevent_is_read_by_its_library/1,
         a_binary_cloudevent_is_read_by_its_library/1,
         the_id_of_a_signature_is_that_of_the_document/1,
         handlers_with_one_url_and_two_formats_have_a_spool_each/1,
         options_that_do_not_fit_each_other_are_named/1]).
%% Callbacks, and those of modules that have only some of them
-export([should_make_req/3, should_make_req/6, prepare_headers/7]).
%% Hook handler
-export([add_metadata/3]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("mod_event_pusher_events.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(ROOM, <<"garden@muc.example.com">>).
-define(WAIT, 30000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    {ok, Receiver} = http_service:start(),
    {ok, Reader} = webhook_reader:start(),
    [{receiver, Receiver}, {reader, Reader} | Config].

end_per_suite(Config) ->
    webhook_reader:stop(?config(reader, Config)),
    http_service:stop(?config(receiver, Config)),
    application:stop(event_pusher).

init_per_testcase(_Case, Config) ->
    ok = http_service:reset(?config(receiver, Config)),
    _ = http_service:flush(?config(receiver, Config)),
    true = register(?MODULE, self()),
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% Documents

%% Confirms all fields, by the schema and one by one.
a_message_is_a_document_when_it_is_sent_and_when_it_is_delivered(Config) ->
    start([#{format => json}], Config),
    Before = erlang:system_time(second),
    Thread = #xmlel{name = <<"thread">>, children = [#xmlcdata{content = <<"t-1">>}]},
    Packet = (rig:message(<<"chat">>, <<"Hi, Bob!">>, [Thread]))
                 #xmlel{attrs = #{<<"type">> => <<"chat">>, <<"id">> => <<"s-1">>}},
    _ = host:send_message(<<"Alice@localhost/Phone">>, ?BOB, Packet),
    Requests = arrived(2, Config),
    [?assertEqual([<<"application/json">>], http_rig:headers(<<"content-type">>, Request))
     || Request <- Requests],
    Documents = [document(Request, Config) || Request <- Requests],
    Common = #{<<"version">> => 1, <<"host">> => ?HT, <<"type">> => <<"chat">>,
               <<"from">> => <<"alice@localhost/Phone">>, <<"to">> => ?BOB, <<"body">> => <<"Hi, Bob!">>,
               <<"stanza_id">> => <<"s-1">>, <<"thread">> => <<"t-1">>},
    ?assertEqual(lists:sort([Common#{<<"event">> => <<"message.sent">>, <<"direction">> => <<"in">>},
                             Common#{<<"event">> => <<"message.delivered">>, <<"direction">> => <<"out">>}]),
                 lists:sort([without_chance(Document) || Document <- Documents])),
    After = erlang:system_time(second),
    [?assert(Time >= Before andalso Time =< After)
     || #{<<"time">> := Text} <- Documents,
        Time <- [calendar:rfc3339_to_system_time(binary_to_list(Text))]],
    ?assertMatch([_, _], lists:usort([Id || #{<<"id">> := Id} <- Documents])).

%% Confirms it for what a user says there, and for what comes from there.
a_message_in_a_room_names_the_room(Config) ->
    start([#{format => json}], Config),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"groupchat">>, <<"Hi">>)),
    ?assertMatch(#{<<"event">> := <<"message.sent">>, <<"room">> := ?ROOM, <<"to">> := ?ROOM,
                   <<"type">> := <<"groupchat">>}, document(arrived(Config), Config)),
    _ = host:route(<<?ROOM/binary, "/Alice">>, ?BOB, rig:message(<<"groupchat">>, <<"Hi">>)),
    ?assertMatch(#{<<"event">> := <<"message.delivered">>, <<"room">> := ?ROOM,
                   <<"from">> := <<"garden@muc.example.com/Alice">>}, document(arrived(Config), Config)).

presence_is_a_document_of_its_own(Config) ->
    start([#{format => json}], Config),
    _ = host:user_available(?ALICE),
    _ = host:user_unavailable(?ALICE, <<"bye">>),
    ?assertEqual([#{<<"version">> => 1, <<"host">> => ?HT, <<"from">> => ?ALICE, <<"event">> => Event}
                  || Event <- [<<"presence.offline">>, <<"presence.online">>]],
                 lists:sort([without_chance(document(Request, Config)) || Request <- arrived(2, Config)])).

%% Confirms it with the stanza in the accumulator, and without one.
what_nobody_acknowledged_is_told_with_the_message(Config) ->
    start([#{format => json}], Config),
    _ = host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch(#{<<"event">> := <<"message.unacknowledged">>, <<"to">> := ?BOB, <<"from">> := ?ALICE,
                   <<"type">> := <<"chat">>, <<"body">> := <<"Hi">>}, document(arrived(Config), Config)),
    Bare = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}),
    _ = host:unacknowledged_message(?BOB, Bare),
    ?assertEqual([<<"event">>, <<"host">>, <<"id">>, <<"time">>, <<"to">>, <<"version">>],
                 lists:sort(maps:keys(document(arrived(Config), Config)))).

%% Confirms it for controls, quotes, scripts and emoji; what is not UTF-8 is rejected.
any_text_is_the_same_after_it_was_read(Config) ->
    start([#{format => json}], Config),
    [begin
         _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, Text)),
         ?assertMatch(#{<<"body">> := Text}, document(arrived(Config), Config))
     end || Text <- [<<>>, <<"\"\\/\b\f\n\r\t">>, <<0, 31, 127>>, <<"Zażółć 東京 🍪 \x{2028}"/utf8>>]],
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, <<"a", 255>>)),
    ?assertMatch(#{reason := rejected, last_cause := <<"text is not UTF-8">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms types, and integers of any size.
metadata_of_filters_has_a_place_of_its_own(Config) ->
    start([#{format => json}, #{format => cloudevents, path => <<"ce">>}], Config),
    Added = #{event => <<"mine">>, number => 1 bsl 70, ratio => 0.5, flag => true, word => some_atom},
    ok = gen_hook:add_handler(push_event, ?HT, fun ?MODULE:add_metadata/3, #{add => Added}, 10),
    ok = gen_hook:reload_hooks(),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, <<"Hi">>)),
    Wanted = #{<<"event">> => <<"mine">>, <<"number">> => 1 bsl 70, <<"ratio">> => 0.5,
               <<"flag">> => true, <<"word">> => <<"some_atom">>},
    Documents = [case Path of
                     <<"/">> -> document(Request, Config);
                     <<"/ce">> -> element(2, cloudevent(Request, Config))
                 end || #{path := Path} = Request <- arrived(2, Config)],
    [?assertMatch(#{<<"event">> := <<"message.sent">>, <<"metadata">> := Wanted}, Document)
     || Document <- Documents].

%% Which events

%% Confirms it by what is not posted before what is.
what_has_no_text_and_what_is_no_message_is_not_posted(Config) ->
    start([#{format => json}], Config),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, none)),
    _ = host:route(?ALICE, ?BOB, #xmlel{name = <<"presence">>}),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"headline">>, <<"posted">>)),
    ?assertMatch(#{<<"body">> := <<"posted">>, <<"type">> := <<"headline">>},
                 document(arrived(Config), Config)),
    ?assertMatch(#{accepted := 1}, http_rig:stats()).

%% Confirms the arguments, and that it is exactly true.
a_callback_decides_about_every_kind_of_event(Config) ->
    Handler = #{format => json, callback_module => ?MODULE},
    start([Handler], Config),
    _ = host:user_available(?ALICE),
    receive {asked, #user_status_event{status = online}, Opts} ->
        ?assertEqual(Handler#{pool_name => http_pool, path => <<>>, metadata => #{}}, Opts)
    after ?WAIT -> ct:fail(not_asked)
    end,
    _ = host:user_unavailable(?ALICE, <<"bye">>),
    [_ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, Text))
     || Text <- [<<"say false">>, <<"say yes">>, <<"say true">>, none]],
    ?assertEqual([{<<"message.sent">>, none}, {<<"message.sent">>, <<"say true">>},
                  {<<"presence.offline">>, none}],
                 lists:sort([begin
                                 #{<<"event">> := Event} = Document = document(Request, Config),
                                 {Event, maps:get(<<"body">>, Document, none)}
                             end || Request <- arrived(3, Config)])),
    ?assertMatch(#{accepted := 3}, http_rig:stats()).

%% Confirms it with a module that has no other callback.
a_callback_for_packets_decides_about_messages_alone(Config) ->
    Module = module_with("should_make_req(_Acc, in, Packet, _From, _To, #{format := json}) -> "
                         "    exml_query:attr(Packet, <<\"type\">>) =:= <<\"headline\">>; "
                         "should_make_req(_, _, _, _, _, _) -> 1.", [{should_make_req, 6}]),
    start([#{format => json, callback_module => Module}], Config),
    _ = host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"no">>)),
    _ = host:send_message(?ALICE, ?BOB, rig:message(<<"headline">>, <<"yes">>)),
    _ = host:user_available(?ALICE),
    ?assertEqual([<<"message.sent">>, <<"presence.online">>],
                 lists:sort([maps:get(<<"event">>, document(Request, Config))
                             || Request <- arrived(2, Config)])),
    ?assertMatch(#{accepted := 2}, http_rig:stats()).

%% Confirms it with headers that the document has itself.
headers_of_a_callback_are_beside_those_of_the_document(Config) ->
    start([#{format => cloudevents, mode => binary, callback_module => ?MODULE}], Config),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, <<"say true">>)),
    Request = arrived(Config),
    ?assertEqual([[<<"a">>, <<"b">>], [<<"application/json">>], [<<"event_pusher.message.sent">>]],
                 [http_rig:headers(Name, Request) || Name <- [<<"x-tag">>, <<"content-type">>, <<"ce-type">>]]).

%% CloudEvents

%% Confirms with and without the mode that the data is the document of the schema.
a_structured_cloudevent_is_read_by_its_library(Config) ->
    start([#{format => cloudevents}, #{format => cloudevents, mode => structured, path => <<"x">>}], Config),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, <<"Hi">>)),
    [begin
         ?assertEqual([<<"application/cloudevents+json">>], http_rig:headers(<<"content-type">>, Request)),
         is_as_documented(cloudevent(Request, Config), <<"alice@localhost">>, <<"xmpp:localhost">>)
     end || Request <- arrived(2, Config)].

%% Confirms it also for names that no header can carry as they are.
a_binary_cloudevent_is_read_by_its_library(Config) ->
    HostType = <<"żółw.example"/utf8>>,
    http_rig:start_hosts(#{HostType => [#{format => cloudevents, mode => binary}]},
                         ?config(receiver, Config)),
    _ = host:send_message(<<"zażółć%@żółw.example/ż"/utf8>>, ?ROOM, rig:message(<<"chat">>, <<"Hi">>)),
    Request = arrived(Config),
    ?assertEqual([<<"application/json">>], http_rig:headers(<<"content-type">>, Request)),
    is_as_documented(cloudevent(Request, Config), <<"zażółć%@żółw.example"/utf8>>,
                     <<"xmpp:%C5%BC%C3%B3%C5%82w.example">>).

is_as_documented({Attributes, Data}, Subject, Source) ->
    #{<<"id">> := Id, <<"time">> := Time, <<"event">> := Event} = Data,
    ?assertEqual(#{<<"specversion">> => <<"1.0">>, <<"id">> => Id, <<"source">> => Source,
                   <<"type">> => <<"event_pusher.", Event/binary>>, <<"subject">> => Subject,
                   <<"datacontenttype">> => <<"application/json">>},
                 maps:remove(<<"time">>, Attributes)),
    Parsed = [calendar:rfc3339_to_system_time(binary_to_list(Text), [{unit, microsecond}])
              || Text <- [Time, maps:get(<<"time">>, Attributes)]],
    ?assertMatch([Same, Same], Parsed).

%% Signatures and the spool

%% Confirms that a library of receivers reads the body once it has verified it.
the_id_of_a_signature_is_that_of_the_document(Config) ->
    Secret = <<"whsec_", (base64:encode(crypto:strong_rand_bytes(24)))/binary>>,
    start([#{format => json, signing_secrets => [Secret]}], Config),
    _ = host:send_message(?ALICE, ?ROOM, rig:message(<<"chat">>, <<"Hi">>)),
    Request = arrived(Config),
    ?assertEqual(ok, webhook_reader:verify(?config(reader, Config), Secret, Request)),
    #{<<"id">> := Id} = document(Request, Config),
    ?assertEqual(Id, http_rig:header(<<"webhook-id">>, Request)).

%% Confirms that events go out as they were when they came, and that another format leaves them where they
%% are and says so.
handlers_with_one_url_and_two_formats_have_a_spool_each(Config) ->
    Receiver = ?config(receiver, Config),
    Dir = unicode:characters_to_binary(filename:join(?config(priv_dir, Config), "spool")),
    More = #{spool => #{dir => Dir, max_bytes => 64 * 1024 * 1024, sync => 1},
             queue => #{drain_timeout_ms => 0}},
    Retried = #{retry_count => 1000, retry_time_ms => 100},
    Both = [Retried, Retried#{format => json}],
    ok = http_service:down(Receiver),
    http_rig:start_host(Both, Receiver, More),
    http_rig:send(<<"chat">>, <<"Hi">>),
    [rig:await_stats({http, ?HT, N}, fun(#{spool := #{events := Events}}) -> Events =:= Count end)
     || {N, Count} <- [{1, 1}, {2, 2}]],
    ok = host:stop(),
    http_rig:start_host([Retried], Receiver, More),
    ?assertMatch(#{events := 2, text := <<_/binary>>}, log_capture:await(event_pusher_spool_orphaned)),
    ok = host:stop(),
    http_rig:start_host(Both, Receiver, More),
    ok = http_service:up(Receiver),
    Types = [http_rig:header(<<"content-type">>, Request) || Request <- arrived(3, Config)],
    ?assertEqual([<<"application/json">>, <<"application/json">>, <<"application/x-www-form-urlencoded">>],
                 lists:sort(Types)).

%% Confirms it for the mode, and for modules that are asked nothing; forms need all callbacks.
options_that_do_not_fit_each_other_are_named(Config) ->
    Empty = module_with("", []),
    Partly = module_with("should_make_req(_, _, _) -> true.", [{should_make_req, 3}]),
    [?assertError(#{what := event_pusher_pool_not_started, reason := [<<Complaint:Size/binary, _/binary>>]}
                    when Size =:= byte_size(Complaint),
                  start([Handler], Config))
     || {Handler, Complaint} <-
            [{#{mode => binary}, <<"mode: must be left out without format = \"cloudevents\", got \"binary\"">>},
             {#{mode => structured, format => json}, <<"mode: must be left out">>},
             {#{callback_module => Empty, format => json},
              <<"callback_module: must be a module with one of should_make_req/3, should_make_req/6, "
                "prepare_headers/7, got ">>},
             {#{callback_module => Partly}, <<"callback_module: must be a module with should_make_req/6, "
                                              "prepare_headers/7, prepare_body/7, got ">>}],
        Size <- [byte_size(Complaint)]].

%% The callbacks of some cases

should_make_req(_Acc, #chat_event{packet = Packet}, _Opts) ->
    case exml_query:path(Packet, [{element, <<"body">>}, cdata]) of
        <<"say ", Word/binary>> -> binary_to_atom(Word);
        undefined -> true
    end;
should_make_req(_Acc, #user_status_event{status = Status} = Event, Opts) ->
    ?MODULE ! {asked, Event, Opts},
    Status =:= offline.

%% Not asked where there is the other one.
should_make_req(_Acc, _Dir, _Packet, _From, _To, _Opts) ->
    false.

prepare_headers(_Acc, in, <<"localhost">>, <<"say true">>, <<"alice">>, <<"garden">>, _Opts) ->
    [{<<"X-Tag">>, <<"a">>}, {<<"Content-Type">>, <<"text/plain">>}, {<<"CE-Type">>, <<"mine">>},
     {<<"x-tag">>, <<"b">>}];
prepare_headers(_Acc, in, <<"localhost">>, <<>>, <<"alice">>, <<"garden">>, _Opts) ->
    [].

%% A module of that name, with these functions.
module_with(Functions, Exported) ->
    Module = list_to_atom("callbacks_" ++ integer_to_list(erlang:unique_integer([positive]))),
    Lines = string:lexemes(Functions, "\n"),
    Forms = [{attribute, 1, module, Module}, {attribute, 1, export, Exported}
             | [begin
                    {ok, Tokens, _} = erl_scan:string(Line),
                    {ok, Form} = erl_parse:parse_form(Tokens),
                    Form
                end || Line <- Lines]],
    {ok, Module, Beam} = compile:forms(Forms),
    {module, Module} = code:load_binary(Module, atom_to_list(Module) ++ ".beam", Beam),
    Module.

%% Helpers

add_metadata(#{metadata := Metadata} = HookAcc, _Params, #{add := More}) ->
    {ok, HookAcc#{metadata := maps:merge(Metadata, More)}}.

start(Handlers, Config) ->
    http_rig:start_host(Handlers, ?config(receiver, Config)).

arrived(Config) ->
    [Request] = arrived(1, Config),
    Request.

arrived(Count, Config) ->
    Requests = http_service:await_messages(?config(receiver, Config), Count, ?WAIT),
    ?assertEqual(Count, length(Requests)),
    Requests.

document(Request, Config) ->
    {ok, Document} = webhook_reader:document(?config(reader, Config), Request),
    Document.

cloudevent(Request, Config) ->
    {ok, Attributes, Document} = webhook_reader:cloudevent(?config(reader, Config), Request),
    {Attributes, Document}.

without_chance(Document) ->
    maps:without([<<"id">>, <<"time">>], Document).
