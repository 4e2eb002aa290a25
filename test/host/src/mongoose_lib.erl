-module(mongoose_lib).
-moduledoc "Small helpers that modules share.".

-export([log_if_backend_error/4, is_exported/3]).

-include_lib("kernel/include/logger.hrl").

-spec log_if_backend_error(Result :: term(), module(), Line :: pos_integer(), Args :: term()) -> ok.
log_if_backend_error(ok, _Module, _Line, _Args) ->
    ok;
log_if_backend_error({Good, _}, _Module, _Line, _Args)
  when Good =:= ok; Good =:= atomic; Good =:= updated ->
    ok;
log_if_backend_error(Result, Module, Line, Args) ->
    ?LOG_ERROR(#{what => backend_error, caller_module => Module, caller_line => Line,
                 reason => reason(Result), args => Args}).

reason({error, Reason}) -> Reason;
reason(Unexpected) -> Unexpected.

%% Loads the module first.
-spec is_exported(module(), Function :: atom(), arity()) -> boolean().
is_exported(Module, Function, Arity) ->
    _ = code:ensure_loaded(Module),
    erlang:function_exported(Module, Function, Arity).
