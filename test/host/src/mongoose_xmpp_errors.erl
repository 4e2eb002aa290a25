-module(mongoose_xmpp_errors).
-moduledoc "The error elements of stanzas, without a text.".

-export([bad_request/0, conflict/0, feature_not_implemented/0, forbidden/0, gone/0]).
-export([internal_server_error/0, item_not_found/0, jid_malformed/0, not_acceptable/0]).
-export([not_allowed/0, not_authorized/0, payment_required/0, recipient_unavailable/0]).
-export([redirect/0, registration_required/0, remote_server_not_found/0]).
-export([remote_server_timeout/0, resource_constraint/0, service_unavailable/0]).
-export([subscription_required/0, unexpected_request/0]).

-spec bad_request() -> exml:element().
bad_request() -> stanza(<<"400">>, <<"modify">>, <<"bad-request">>).

-spec conflict() -> exml:element().
conflict() -> stanza(<<"409">>, <<"cancel">>, <<"conflict">>).

-spec feature_not_implemented() -> exml:element().
feature_not_implemented() -> stanza(<<"501">>, <<"cancel">>, <<"feature-not-implemented">>).

-spec forbidden() -> exml:element().
forbidden() -> stanza(<<"403">>, <<"auth">>, <<"forbidden">>).

-spec gone() -> exml:element().
gone() -> stanza(<<"302">>, <<"modify">>, <<"gone">>).

-spec internal_server_error() -> exml:element().
internal_server_error() -> stanza(<<"500">>, <<"wait">>, <<"internal-server-error">>).

-spec item_not_found() -> exml:element().
item_not_found() -> stanza(<<"404">>, <<"cancel">>, <<"item-not-found">>).

-spec jid_malformed() -> exml:element().
jid_malformed() -> stanza(<<"400">>, <<"modify">>, <<"jid-malformed">>).

-spec not_acceptable() -> exml:element().
not_acceptable() -> stanza(<<"406">>, <<"modify">>, <<"not-acceptable">>).

-spec not_allowed() -> exml:element().
not_allowed() -> stanza(<<"405">>, <<"cancel">>, <<"not-allowed">>).

-spec not_authorized() -> exml:element().
not_authorized() -> stanza(<<"401">>, <<"auth">>, <<"not-authorized">>).

-spec payment_required() -> exml:element().
payment_required() -> stanza(<<"402">>, <<"auth">>, <<"payment-required">>).

-spec recipient_unavailable() -> exml:element().
recipient_unavailable() -> stanza(<<"404">>, <<"wait">>, <<"recipient-unavailable">>).

-spec redirect() -> exml:element().
redirect() -> stanza(<<"302">>, <<"modify">>, <<"redirect">>).

-spec registration_required() -> exml:element().
registration_required() -> stanza(<<"407">>, <<"auth">>, <<"registration-required">>).

-spec remote_server_not_found() -> exml:element().
remote_server_not_found() -> stanza(<<"404">>, <<"cancel">>, <<"remote-server-not-found">>).

-spec remote_server_timeout() -> exml:element().
remote_server_timeout() -> stanza(<<"504">>, <<"wait">>, <<"remote-server-timeout">>).

-spec resource_constraint() -> exml:element().
resource_constraint() -> stanza(<<"500">>, <<"wait">>, <<"resource-constraint">>).

-spec service_unavailable() -> exml:element().
service_unavailable() -> stanza(<<"503">>, <<"cancel">>, <<"service-unavailable">>).

-spec subscription_required() -> exml:element().
subscription_required() -> stanza(<<"407">>, <<"auth">>, <<"subscription-required">>).

-spec unexpected_request() -> exml:element().
unexpected_request() -> stanza(<<"400">>, <<"wait">>, <<"unexpected-request">>).

stanza(Code, Type, Condition) ->
    jlib:stanza_error(Code, Type, Condition).
