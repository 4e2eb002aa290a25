-module(event_pusher_rules_pattern).
-moduledoc "Patterns of users and domains, as rules have them: read at the start, matched with each event.".

%% A pattern without @ is a domain, any other a bare JID; * stands for any characters, also for none.

-export([users/1, domains/1, matches/2]).
-export_type([patterns/0, fault/0]).

%% Patterns without * are found at once, however many there are. The others are tried one by one.
-opaque patterns() :: {#{jid:lserver() | {jid:luser(), jid:lserver()} => []},
                       [{any | glob(), glob()}]}.
%% The text as a whole, or what is before the first *, between others and behind the last one.
-type glob() :: binary() | {First :: binary(), Between :: [binary()], Last :: binary()}.
-type fault() :: {Pattern :: binary(), Why :: string()}.

%% Of domains, and of bare JIDs.
-spec users([binary()]) -> {ok, patterns()} | {error, [fault(), ...]}.
users(Texts) ->
    read(Texts, fun user/1).

-spec domains([binary()]) -> {ok, patterns()} | {error, [fault(), ...]}.
domains(Texts) ->
    read(Texts, fun domain/1).

%% Whether any of them is that of the user, or of the domain.
-spec matches({jid:luser(), jid:lserver()}, patterns()) -> boolean().
matches({_User, Domain} = Whole, {Exact, Globs}) ->
    is_map_key(Domain, Exact) orelse is_map_key(Whole, Exact) orelse is_any(Globs, Whole).

is_any([], _Whole) -> false;
is_any([{User, Domain} | Others], {LUser, LServer} = Whole) ->
    is_like(LServer, Domain) andalso is_like(LUser, User) orelse is_any(Others, Whole).

is_like(_Text, any) ->
    true;
is_like(Text, {First, Between, Last}) ->
    case skip_first(Text, First) of
        none -> false;
        Rest -> is_like(Rest, Between, Last)
    end;
is_like(Text, Whole) ->
    Text =:= Whole.

skip_first(Text, First) ->
    Size = byte_size(First),
    case Text of
        <<First:Size/binary, Rest/binary>> -> Rest;
        _ -> none
    end.

is_like(Rest, [], Last) ->
    Skipped = byte_size(Rest) - byte_size(Last),
    Skipped >= 0 andalso binary:part(Rest, Skipped, byte_size(Last)) =:= Last;
is_like(Rest, [Part | Others], Last) ->
    case binary:split(Rest, Part) of
        [_Before, After] -> is_like(After, Others, Last);
        [_Without] -> false
    end.

%% Reading

read(Texts, Read) ->
    Results = [{Text, Read(Text)} || Text <- Texts],
    case [{Text, Why} || {Text, {error, Why}} <- Results] of
        [] ->
            {Globs, Exact} = lists:partition(fun is_glob/1, [Pattern || {_Text, Pattern} <- Results]),
            {ok, {maps:from_keys([key(Pattern) || Pattern <- Exact], []), Globs}};
        Faults ->
            {error, Faults}
    end.

is_glob({User, Domain}) -> is_tuple(User) orelse is_tuple(Domain).

key({any, Domain}) -> Domain;
key(Whole) -> Whole.

user(Text) ->
    case binary:split(Text, <<"@">>, [global]) of
        [Domain] -> domain(Domain);
        [<<>>, Domain] -> {error, io_lib:format("write \"~ts\" for all of the domain", [Domain])};
        [User, Domain] -> user(glob(User, fun jid:nodeprep/1), domain(Domain));
        _More -> {error, "there is more than one @"}
    end.

user(error, _Domain) -> {error, "no user can have the part before the @"};
user(_User, {error, Why}) -> {error, Why};
user(User, {any, Domain}) -> {User, Domain}.

domain(Text) ->
    case [Why || {Character, Why} <- [{<<>>, "there is no domain"},
                                      {<<"/">>, "rules know no resources"},
                                      {<<"@">>, "this is for domains, without users"}],
                 has(Text, Character)] of
        [] -> domain_glob(glob(Text, fun jid:nameprep/1));
        [Why | _] -> {error, Why}
    end.

has(Text, <<>>) -> Text =:= <<>>;
has(Text, Character) -> binary:match(Text, Character) =/= nomatch.

domain_glob(error) -> {error, "no domain can have this name"};
domain_glob(Domain) -> {any, Domain}.

%% Normalised as the server does it with what events have.
glob(Text, Prepare) ->
    Parts = [prepared(Part, Prepare) || Part <- binary:split(Text, <<"*">>, [global])],
    case {lists:member(error, Parts), Parts} of
        {true, _} -> error;
        {false, [Whole]} -> Whole;
        {false, [First | More]} ->
            {First, [Part || Part <- lists:droplast(More), Part =/= <<>>], lists:last(More)}
    end.

prepared(<<>>, _Prepare) -> <<>>;
prepared(Part, Prepare) -> Prepare(Part).
