-- What a session needs, declared; `SET VAR` gives each its value from the register and the job's time.
DECLARE OR REPLACE VARIABLE countersign_lookback BIGINT;

DECLARE OR REPLACE VARIABLE countersign_before BIGINT;

DECLARE OR REPLACE VARIABLE countersign_since BIGINT;

DECLARE OR REPLACE VARIABLE countersign_until BIGINT;

DECLARE OR REPLACE VARIABLE countersign_has_servers BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_has_clients BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_has_networks BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_has_agents BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_has_coverage BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_networks ARRAY<STRUCT<first: STRING, last: STRING>>;

DECLARE OR REPLACE VARIABLE countersign_domains ARRAY<STRING>;

DECLARE OR REPLACE VARIABLE countersign_agent_of_client MAP<STRING, STRING>;

DECLARE OR REPLACE VARIABLE countersign_scopes MAP<STRING, STRUCT<system_wide: BOOLEAN, resource: STRING, verb: STRING>>;

DECLARE OR REPLACE VARIABLE countersign_covered MAP<STRING, ARRAY<STRING>>;

DECLARE OR REPLACE VARIABLE countersign_systems ARRAY<STRING>;

DECLARE OR REPLACE VARIABLE countersign_long_names_wide BOOLEAN;

DECLARE OR REPLACE VARIABLE countersign_client_ids MAP<STRING, ARRAY<STRING>>;
