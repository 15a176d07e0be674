-- Words that the event view is written in. Register look-ups are session variables, set once a run (register.py):
--   scopes    MAP(scope -> {system_wide, resource, verb})      covered  MAP(scope -> its parents, all the way up)
--   systems   the systems that the register's scopes name      domains   domains of trusted clients
--   long_names_wide   whether the register calls a scope of three parts or more system-wide

-- DuckDB's hash takes a text eight bytes at a time and never mixes the last of them downwards: texts that differ only in
-- the last byte of two words (user0001@corp001, user0002@corp002) often have one hash. Moved by a byte, they have two.
CREATE OR REPLACE TEMP MACRO countersign_hash(value) AS hash(value, ' ' || value);
CREATE OR REPLACE TEMP MACRO countersign_key(kind, value) AS hash(kind, value, ' ' || value);

-- Tells lines apart; a quarter of the work of a digest. Of two that nevertheless agree, the engine compares all else.
CREATE OR REPLACE TEMP MACRO countersign_line(line) AS (hash(line)::UHUGEINT << 64) + hash(' ' || line);

CREATE OR REPLACE TEMP MACRO countersign_absent(list) AS CASE WHEN len(list) > 0 THEN list END;

-- A scope without the URI of its resource server, which some authorization servers write in front of it.
CREATE OR REPLACE TEMP MACRO countersign_scope_name(scope) AS CASE WHEN contains(scope, '://')
  THEN regexp_replace(lower(scope), '^[a-z][a-z0-9+.-]*://(.*/)?', '') ELSE lower(scope) END;

-- RFC 6749 §3.3 says nothing of a scope's shape; a resource server's URI in front is taken off, then it is split.
CREATE OR REPLACE TEMP MACRO countersign_scope_parts(scope) AS
  list_filter(string_split(translate(countersign_scope_name(scope), ':/', '..'), '.'), lambda part: part <> '');

CREATE OR REPLACE TEMP MACRO countersign_verb(word) AS
  CASE WHEN word IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader') THEN 'read'
       WHEN word IN ('write', 'readwrite', 'create', 'update', 'edit', 'send', 'modify', 'post', 'writer', 'manage') THEN 'write'
       WHEN word IN ('delete', 'remove', 'purge', 'destroy') THEN 'destructive'
       WHEN word IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access') THEN 'admin' END;

CREATE OR REPLACE TEMP MACRO countersign_oidc(scope) AS
  lower(scope) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access');

CREATE OR REPLACE TEMP MACRO countersign_two_parts(parts, target, server) AS
  CASE WHEN parts[1] = '*' OR parts[2] = '*' THEN true
       WHEN countersign_verb(parts[2]) IS NOT NULL
            AND (parts[1] = lower(target) OR parts[1] = lower(server) OR list_contains(getvariable('systems'), parts[1])) THEN true
       WHEN countersign_verb(parts[1]) IS NOT NULL
            AND (parts[2] = lower(target) OR parts[2] = lower(server) OR list_contains(getvariable('systems'), parts[2])) THEN true END;

-- One scope, taken apart once: 2 names a system, 1 unknown, 0 an operation.
CREATE OR REPLACE TEMP MACRO countersign_scope_width(scope, parts, target, server) AS
  CASE WHEN countersign_oidc(scope) THEN 0
       WHEN getvariable('scopes')[lower(scope)].system_wide IS NOT NULL THEN 2 * getvariable('scopes')[lower(scope)].system_wide::INTEGER
       WHEN getvariable('scopes')[lower(scope)].resource IS NOT NULL THEN 0
       WHEN len(parts) >= 3 THEN 0
       WHEN len(parts) < 2 THEN 2
       WHEN countersign_two_parts(parts, target, server) THEN 2 ELSE 1 END;

-- Scopes of three parts or more each, the most usual: that they name operations is seen without taking each apart.
CREATE OR REPLACE TEMP MACRO countersign_operations(scopes) AS
  regexp_full_match(array_to_string(scopes, ' '), '[^ .:/]+([.:/][^ .:/]+){2,}( [^ .:/]+([.:/][^ .:/]+){2,})*');

-- One certain makes true, else one unknown makes unknown.
CREATE OR REPLACE TEMP MACRO countersign_system_wide(scopes, target, server) AS
  CASE WHEN scopes IS NULL THEN NULL WHEN NOT getvariable('long_names_wide') AND countersign_operations(scopes) THEN false ELSE CASE list_max(list_transform(list_transform(scopes, lambda s: {scope: s, parts: countersign_scope_parts(s)}),
                               lambda s: countersign_scope_width(s.scope, s.parts, target, server)))
    WHEN 2 THEN true WHEN 0 THEN false END END;

CREATE OR REPLACE TEMP MACRO countersign_covers(held, needed) AS
  lower(held) = lower(needed) OR held = '*'
  OR (right(held, 2) IN ('.*', ':*') AND starts_with(lower(needed), lower(left(held, length(held) - 1))))
  OR coalesce(list_contains(getvariable('covered')[lower(needed)], lower(held)), false);

CREATE OR REPLACE TEMP MACRO countersign_uncovered(needed, held) AS
  list_filter(needed, lambda n: len(list_filter(held, lambda h: countersign_covers(h, n))) = 0);

-- Granted and not requested. Who signed in is no power, and a scope may be named with its resource server's URI and without.
CREATE OR REPLACE TEMP MACRO countersign_beyond(granted, requested) AS
  list_filter(countersign_uncovered(granted, requested), lambda g:
    countersign_scope_name(g) NOT IN ('openid', 'profile', 'email', 'address', 'phone', 'userinfo.email', 'userinfo.profile')
    AND len(list_filter(requested, lambda r: contains(r, '://') <> contains(g, '://')
                                             AND countersign_scope_name(r) = countersign_scope_name(g))) = 0);

CREATE OR REPLACE TEMP MACRO countersign_same_ignoring_case(a, b) AS lower(a) = lower(b);

CREATE OR REPLACE TEMP MACRO countersign_scope_risk(scope) AS
  coalesce(getvariable('scopes')[lower(scope)].verb,
    CASE WHEN countersign_oidc(scope) THEN NULL
         ELSE ['read', 'write', 'destructive', 'admin'][list_max(list_transform(countersign_scope_parts(scope),
                lambda part: list_position(['read', 'write', 'destructive', 'admin'], countersign_verb(part))))] END);

CREATE OR REPLACE TEMP MACRO countersign_risk_of(scopes) AS
  ['read', 'write', 'destructive', 'admin'][list_max(list_transform(scopes,
    lambda s: list_position(['read', 'write', 'destructive', 'admin'], countersign_scope_risk(s))))];

-- Every scope that gives any power only reads; one whose verb nobody knows may do more. `risk` is that of the scopes.
CREATE OR REPLACE TEMP MACRO countersign_only_reads(scopes, risk) AS
  risk = 'read'
  AND (len(scopes) = 1 OR len(list_filter(scopes, lambda s: NOT countersign_oidc(s) AND countersign_scope_risk(s) IS NULL)) = 0);

CREATE OR REPLACE TEMP MACRO countersign_uri(value) AS rtrim(lower(value), '/');

-- String values of the keys that name a user, anywhere in the arguments; countersign_argument(arguments, key) is made
-- by register.py, one branch a key that is known, since a JSON path must be a constant.
CREATE OR REPLACE TEMP MACRO countersign_named(arguments, keys) AS
  list_distinct(list_filter(flatten(list_transform(keys, lambda k:
    list_transform(list_filter(coalesce(TRY(countersign_argument(arguments, k)), []), lambda v: json_type(v) = 'VARCHAR'),
                   lambda v: v ->> '$'))), lambda v: v <> ''));

-- An address as 32 hexadecimal digits, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2), so that a network is a range of text.
CREATE OR REPLACE TEMP MACRO countersign_groups(half) AS
  list_transform(list_filter(string_split(half, ':'), lambda g: g <> ''), lambda g: lpad(g, 4, '0'));

CREATE OR REPLACE TEMP MACRO countersign_address(ip) AS
  CASE WHEN regexp_full_match(ip, '((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)')
       THEN '00000000000000000000ffff' || lpad(lower(to_hex((TRY_CAST(split_part(ip, '.', 1) AS BIGINT) << 24)
              + (TRY_CAST(split_part(ip, '.', 2) AS BIGINT) << 16) + (TRY_CAST(split_part(ip, '.', 3) AS BIGINT) << 8)
              + TRY_CAST(split_part(ip, '.', 4) AS BIGINT))), 8, '0')
       WHEN regexp_full_match(lower(ip), '[0-9a-f:]{2,39}') THEN
         array_to_string(countersign_groups(string_split(lower(ip), '::')[1]), '')
         || repeat('0', 32 - 4 * len(countersign_groups(string_split(lower(ip), '::')[1])) - 4 * len(countersign_groups(coalesce(string_split(lower(ip), '::')[2], ''))))
         || array_to_string(countersign_groups(coalesce(string_split(lower(ip), '::')[2], '')), '') END;

-- Ids that join records are printed, searched and put into queries: no tracer and no vendor makes one of control characters,
-- letters beyond ASCII, quotes, markup or escapes, or longer than 512 characters.
CREATE OR REPLACE TEMP MACRO countersign_hostile(ids) AS
  regexp_matches(ids, '[^ -~]|[''"<>\\`]|[$][{(]|%0[0adAD]|[.][.]/')
  OR (length(ids) > 512 AND list_max(list_transform(string_split(ids, ' '), lambda id: length(id))) > 512);

-- Compared first: a text of zeros alone comes before that one, most ids come after it.
CREATE OR REPLACE TEMP MACRO countersign_zeros(id) AS id < '0000000000000001' AND trim(id, '0') = '';

CREATE OR REPLACE TEMP MACRO countersign_nil(id) AS starts_with(id, '00000000') AND trim(id, '0-') = '';

-- W3C, B3 with 64 bits, a UUID, X-Ray, Datadog's decimal number.
CREATE OR REPLACE TEMP MACRO countersign_trace_form(id) AS
  regexp_full_match(id, '[0-9a-fA-F]{32}|[0-9a-fA-F]{16}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}|[0-9]{10,39}');

-- Places that a class of data may be in: an entry is class=place,place; a class with an entry of its own is judged by that
-- alone, any other by *.
CREATE OR REPLACE TEMP MACRO countersign_places(regions, class) AS
  string_split(lower(string_split(coalesce(list_filter(regions, lambda r: starts_with(lower(r), lower(class) || '='))[1],
                                           list_filter(regions, lambda r: starts_with(r, '*='))[1])::VARCHAR, '=')[2]), ',');

-- A place of two letters is a country, any other a cloud region. Like is compared with like: a region that is not listed proves
-- nothing where only countries are.
CREATE OR REPLACE TEMP MACRO countersign_region_allowed(places, region, country) AS
  CASE WHEN coalesce(list_contains(places, region), false) OR coalesce(list_contains(places, country), false) THEN true
       WHEN region IS NOT NULL AND len(list_filter(places, lambda p: length(p) > 2)) > 0 THEN false
       WHEN country IS NOT NULL AND len(list_filter(places, lambda p: length(p) = 2)) > 0 THEN false END;

-- Chains are taken slice by slice where a join of all would hold too much (engine.py).
CREATE OR REPLACE TEMP MACRO of_slice(chain) AS chain BETWEEN getvariable('chain_first') AND getvariable('chain_last');
