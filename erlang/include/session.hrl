%% One connected resource of a user; without an integer priority it is connected but not available.
-record(session, {sid :: {integer(), pid()},
                  usr :: {binary(), binary(), binary()},
                  us :: {binary(), binary()},
                  priority :: integer() | undefined,
                  info = #{} :: map()}).
