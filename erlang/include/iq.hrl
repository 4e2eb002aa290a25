%% As the server and its modules hand it over. A request has one element, an answer a list of them.
-record(iq, {id = <<>> :: binary(),
             type :: get | set | result | error,
             xmlns = <<>> :: binary(),
             lang = <<>> :: binary(),
             sub_el :: exml:element() | [exml:element()]}).
