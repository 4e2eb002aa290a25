-module(event_pusher_config).
-moduledoc "Values of mongooseim.toml, and errors that show none of them.".

%% When a check fails, the server logs the error together with the value it is about, which may be a
%% section with secrets in it. But a process function may give errors as its result, and these are
%% logged as they are.

-export([text/1, refuse/3, require/3, unique/3]).
-export_type([path/0, errors/0]).

-doc "Where a node is in the file, the innermost key first.".
-type path() :: [binary() | item | {host, binary()}].
-type errors() :: [#{what := atom(), class := error, toml_path := binary(), text := binary()}, ...].

%% An option of type string. The server makes it of the bytes of the file, which is UTF-8; callers of
%% their own may give characters.
-spec text(string()) -> binary().
text(String) ->
    try unicode:characters_to_list(list_to_binary(String)) of
        Characters when is_list(Characters) -> list_to_binary(String);
        _NotUtf8 -> unicode:characters_to_binary(String)
    catch
        error:badarg -> unicode:characters_to_binary(String)
    end.

-spec refuse(path(), What :: atom(), Text :: unicode:chardata()) -> errors().
refuse(Path, What, Text) ->
    Keys = [Key || Key <- lists:reverse(Path), is_binary(Key)],
    [#{what => What, class => error, toml_path => iolist_to_binary(lists:join($., Keys)),
       text => unicode:characters_to_binary(Text)}].

%% The options, if they have all these keys.
-spec require([atom()], path(), Opts) -> Opts | errors() when Opts :: map().
require(Keys, Path, Opts) ->
    case [atom_to_binary(Key) || Key <- Keys, not is_map_key(Key, Opts)] of
        [] ->
            Opts;
        Missing ->
            [Error] = refuse(Path, missing_mandatory_keys,
                            ["required but missing: " | lists:join(", ", Missing)]),
            [Error#{missing_keys => Missing}]
    end.

%% The items, if there are no two equal ones.
-spec unique(What :: iodata(), path(), [Item]) -> [Item] | errors().
unique(What, Path, Items) ->
    case length(lists:usort(Items)) =:= length(Items) of
        true -> Items;
        false -> refuse(Path, duplicates_in_list, ["there are two equal ", What])
    end.
