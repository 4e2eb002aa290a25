%% A JID holds normalised parts only.
-record(jid, {luser = <<>> :: binary(),
              lserver = <<>> :: binary(),
              lresource = <<>> :: binary()}).
