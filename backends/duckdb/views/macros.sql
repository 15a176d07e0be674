-- Words that the event view is written in. Register look-ups are session variables, set once a run (register.py):
--   scopes    MAP(scope -> {system_wide, resource, verb})      covered  MAP(scope -> its parents, all the way up)
--   systems   the systems that the register's scopes name      domains   domains of trusted clients

CREATE OR REPLACE TEMP MACRO countersign_absent(list) AS CASE WHEN len(list) > 0 THEN list END;

-- RFC 6749 §3.3 says nothing of a scope's shape; a resource server's URI in front is taken off, then it is split.
CREATE OR REPLACE TEMP MACRO countersign_scope_parts(scope) AS
  list_filter(string_split(translate(CASE WHEN contains(scope, '://')
    THEN regexp_replace(lower(scope), '^[a-z][a-z0-9+.-]*://(.*/)?', '') ELSE lower(scope) END, ':/', '..'), '.'), lambda part: part <> '');

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

-- One certain makes true, else one unknown makes unknown.
CREATE OR REPLACE TEMP MACRO countersign_system_wide(scopes, target, server) AS
  CASE list_max(list_transform(list_transform(scopes, lambda s: {scope: s, parts: countersign_scope_parts(s)}),
                               lambda s: countersign_scope_width(s.scope, s.parts, target, server)))
    WHEN 2 THEN true WHEN 0 THEN false END;

CREATE OR REPLACE TEMP MACRO countersign_covers(held, needed) AS
  lower(held) = lower(needed) OR held = '*'
  OR (right(held, 2) IN ('.*', ':*') AND starts_with(lower(needed), lower(left(held, len(held) - 1))))
  OR coalesce(list_contains(getvariable('covered')[lower(needed)], lower(held)), false);

CREATE OR REPLACE TEMP MACRO countersign_uncovered(needed, held) AS
  list_filter(needed, lambda n: len(list_filter(held, lambda h: countersign_covers(h, n))) = 0);

CREATE OR REPLACE TEMP MACRO countersign_same_ignoring_case(a, b) AS lower(a) = lower(b);

CREATE OR REPLACE TEMP MACRO countersign_scope_risk(scope) AS
  coalesce(getvariable('scopes')[lower(scope)].verb,
    CASE WHEN countersign_oidc(scope) THEN NULL
         ELSE ['read', 'write', 'destructive', 'admin'][list_max(list_transform(countersign_scope_parts(scope),
                lambda part: list_position(['read', 'write', 'destructive', 'admin'], countersign_verb(part))))] END);

CREATE OR REPLACE TEMP MACRO countersign_risk_of(scopes) AS
  ['read', 'write', 'destructive', 'admin'][list_max(list_transform(scopes,
    lambda s: list_position(['read', 'write', 'destructive', 'admin'], countersign_scope_risk(s))))];

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
