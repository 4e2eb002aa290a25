%% The nodes of a config spec, field for field as MongooseIM defines them.
-record(section, {items = #{},
                  validate_keys = any,
                  required = [],
                  validate = any,
                  format_items = map,
                  process = [],
                  defaults = #{},
                  wrap = default,
                  include = when_present}).

-record(list, {items,
               validate = any,
               format_items = list,
               process = [],
               wrap = default}).

-record(option, {type,
                 validate = any,
                 process = [],
                 wrap = default}).
