-module(host_storage_SUITE).
-moduledoc "Holds storage backends and tables of Mnesia to the behaviour of a server.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([the_backend_of_a_module_follows_from_its_options/1,
         calls_go_to_the_backend_of_their_host_type/1,
         a_backend_without_a_start_is_unknown/1,
         tracked_calls_are_counted_and_timed/1,
         a_backend_can_be_started_again/1,
         a_table_is_created_on_disc_and_survives_a_stop/1,
         a_table_that_is_there_stays_as_it_is/1,
         a_table_needs_mnesia/1,
         a_table_that_cannot_be_created_is_an_error/1,
         only_failures_of_a_backend_are_logged/1,
         an_exported_function_is_found_in_a_module_not_loaded_yet/1]).
%% The suite is the backend `SUITE' of a module `host_storage', which nothing calls.
-export([get/1, fail/0, untracked/0]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).

all() ->
    Helpers = [module_info, get],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(Case, Config) ->
    ok = host:start(#{?HT => #{}}),
    ok = log_capture:start(),
    [{mnesia_dir, filename:join(?config(priv_dir, Config), Case)} | Config].

end_per_testcase(_Case, _Config) ->
    ok = host_mnesia:stop(),
    ok = log_capture:stop(),
    ok = host:stop().

%% Backends

%% Confirms the default as well.
the_backend_of_a_module_follows_from_its_options(_Config) ->
    ok = mongoose_backend:init(?HT, host_storage, [], #{backend => 'SUITE'}),
    ok = mongoose_backend:init(global, host_storage, [], #{}),
    ?assertEqual({?MODULE, 'SUITE'},
                 {mongoose_backend:get_backend_module(?HT, host_storage),
                  mongoose_backend:get_backend_name(?HT, host_storage)}),
    ?assertEqual({host_storage_mnesia, mnesia},
                 {mongoose_backend:get_backend_module(global, host_storage),
                  mongoose_backend:get_backend_name(global, host_storage)}).

%% Confirms result, exception, and what the backend can do.
calls_go_to_the_backend_of_their_host_type(_Config) ->
    ok = mongoose_backend:init(?HT, host_storage, [], #{backend => 'SUITE'}),
    ?assertEqual({got, 1}, mongoose_backend:call(?HT, host_storage, get, [1])),
    ?assertError(oops, mongoose_backend:call(?HT, host_storage, fail, [])),
    ?assert(mongoose_backend:is_exported(?HT, host_storage, get, 1)),
    ?assertNot(mongoose_backend:is_exported(?HT, host_storage, get, 2)).

%% Confirms it for each question, and again for a new host.
a_backend_without_a_start_is_unknown(_Config) ->
    ok = mongoose_backend:init(?HT, host_storage, [], #{backend => 'SUITE'}),
    ok = host:stop(),
    ok = host:start(#{?HT => #{}}),
    ?assertError(badarg, mongoose_backend:get_backend_module(?HT, host_storage)),
    ?assertError(badarg, mongoose_backend:get_backend_name(?HT, host_storage)),
    ?assertError(badarg, mongoose_backend:call(?HT, host_storage, get, [1])),
    ?assertError(badarg, mongoose_backend:call_tracked(?HT, host_storage, get, [1])),
    ?assertError(badarg, mongoose_backend:is_exported(?HT, host_storage, get, 1)).

%% Confirms event and labels, with and without a host type, and that a failure is not measured.
tracked_calls_are_counted_and_timed(_Config) ->
    Labels = #{host_type => ?HT, function => get},
    ok = mongoose_backend:init(?HT, host_storage, [get, fail], #{backend => 'SUITE'}),
    [?assertEqual({got, N}, mongoose_backend:call_tracked(?HT, host_storage, get, [N]))
     || N <- [1, 2]],
    ?assertEqual(2, host_metrics:total(?MODULE, Labels, count)),
    ?assertMatch([_, _], host_metrics:values(?MODULE, Labels, time)),
    ?assertError(oops, mongoose_backend:call_tracked(?HT, host_storage, fail, [])),
    ?assertEqual(0, host_metrics:total(?MODULE, Labels#{function => fail}, count)),
    ?assertError(#{what := event_not_registered},
                 mongoose_backend:call_tracked(?HT, host_storage, untracked, [])).

%% Confirms that its events may be there already.
a_backend_can_be_started_again(_Config) ->
    [ok = mongoose_backend:init(global, host_storage, [get], #{backend => 'SUITE'})
     || _ <- [1, 2]],
    ?assertEqual({got, 1}, mongoose_backend:call_tracked(global, host_storage, get, [1])),
    ?assertEqual(1, host_metrics:total(?MODULE, #{function => get}, count)).

%% Mnesia

%% Confirms that what was written is there again.
a_table_is_created_on_disc_and_survives_a_stop(Config) ->
    ok = host_mnesia:start(?config(mnesia_dir, Config)),
    ?assertEqual({atomic, ok}, mongoose_mnesia:create_table(toy, [{disc_copies, [node()]}])),
    ok = mnesia:sync_dirty(fun() -> mnesia:write({toy, key, value}) end),
    ok = host_mnesia:stop(),
    ok = host_mnesia:start(?config(mnesia_dir, Config)),
    ok = mnesia:wait_for_tables([toy], 10000),
    ?assertEqual([{toy, key, value}], mnesia:dirty_read(toy, key)).

%% Confirms type and copies; another node would get a copy.
a_table_that_is_there_stays_as_it_is(Config) ->
    ok = host_mnesia:start(?config(mnesia_dir, Config)),
    ?assertEqual({atomic, ok}, mongoose_mnesia:create_table(toy, [{ram_copies, [node()]}])),
    ?assertEqual({aborted, {already_exists, toy}},
                 mongoose_mnesia:create_table(toy, [{disc_copies, [node()]}, {type, bag}])),
    ?assertEqual({set, [node()]},
                 {mnesia:table_info(toy, type), mnesia:table_info(toy, ram_copies)}).

%% Confirms error and log.
a_table_needs_mnesia(_Config) ->
    ?assertError({mnesia_create_table_failed, toy, mnesia_not_running},
                 mongoose_mnesia:create_table(toy, [])),
    ?assertMatch(#{table := toy, reason := mnesia_not_running},
                 log_capture:await(mnesia_create_table_failed)).

%% Confirms that the error tells why.
a_table_that_cannot_be_created_is_an_error(Config) ->
    ok = host_mnesia:start(?config(mnesia_dir, Config)),
    ?assertError({mnesia_create_table_failed, toy, {aborted, {badarg, toy, _}}},
                 mongoose_mnesia:create_table(toy, [{no_such_option, 1}])).

%% Shared

%% Confirms each good result, and two bad ones.
only_failures_of_a_backend_are_logged(_Config) ->
    [?assertEqual(ok, mongoose_lib:log_if_backend_error(Good, ?MODULE, 7, args))
     || Good <- [ok, {ok, 1}, {atomic, []}, {updated, 1}]],
    ?assertEqual([], log_capture:rest(backend_error)),
    [begin
         ?assertEqual(ok, mongoose_lib:log_if_backend_error(Bad, ?MODULE, 7, args)),
         ?assertMatch(#{reason := Reason, caller_module := ?MODULE, caller_line := 7, args := args},
                      log_capture:await(backend_error))
     end || {Bad, Reason} <- [{{error, oops}, oops}, {strange, strange}]].

%% Confirms name and arity, and a module that does not exist.
an_exported_function_is_found_in_a_module_not_loaded_yet(_Config) ->
    code:purge(host_toml),
    code:delete(host_toml),
    ?assertEqual([true, false, false],
                 [mongoose_lib:is_exported(Module, read, Arity)
                  || {Module, Arity} <- [{host_toml, 1}, {host_toml, 3}, {no_such_module, 1}]]).

%% Functions of a backend

get(Key) ->
    {got, Key}.

fail() ->
    error(oops).

untracked() ->
    ok.
