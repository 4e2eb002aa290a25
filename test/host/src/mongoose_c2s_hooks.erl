-module(mongoose_c2s_hooks).
-moduledoc "Runs the hook for a message that a connected client sends.".

-export([user_send_message/3]).

-spec user_send_message(gen_mod:host_type(), mongoose_acc:t(), map()) -> gen_hook:hook_fn_ret().
user_send_message(HostType, Acc, Params) ->
    gen_hook:run_fold(user_send_message, HostType, Acc, Params).
