-module(mongooseim).
-moduledoc "Types that specs refer to.".

-export_type([host_type/0, domain_name/0]).

-type host_type() :: binary().
-type domain_name() :: binary().
