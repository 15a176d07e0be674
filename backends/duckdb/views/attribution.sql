-- Attribution: which call an access belongs to, and which records have a second fact on their side. Reads `ev` and `placed`
-- (joining.sql).
CREATE OR REPLACE TEMP TABLE link AS
  SELECT ev.rid, identity, ts, stage, blind, p, t, x, c, h, placed.chain, placed.source, placed.kind, placed.member,
    person, person_kind, human, actor_known, service, agent, agent_parent, act, client, names_agent, by_agent,
    span, parent, token, token_parent, server, system, audience_match, read_scope, read_only_tool, granted,
    origin, is_write, wrote, answered, denied, cancelled, running, third_party, third_shown, restricted
  FROM ev JOIN placed ON placed.rid = ev.rid
  -- slice by slice (engine.py): ten million rows as wide as these would have to be spilled to be joined at once
  WHERE ev.rid BETWEEN getvariable('rid_first') AND getvariable('rid_last')
    AND placed.rid BETWEEN getvariable('rid_first') AND getvariable('rid_last');

-- A join by a claimed id buys an alibi only if a second fact agrees: same person, token or parent span, on a record that
-- is in the chain by an issued id; where none is, on a record of another stage. A lent join never buys one: whoever stole
-- the token brings the same person along.
CREATE OR REPLACE TEMP TABLE agreed AS
  WITH slice AS (SELECT rid, chain, stage, member, person, span, parent, h FROM link
                WHERE of_slice(chain)),
  issued AS (SELECT DISTINCT chain FROM slice WHERE member = 0)
  SELECT DISTINCT soft.rid FROM slice soft JOIN slice other ON other.chain = soft.chain AND other.stage <> soft.stage
  WHERE soft.member = 1 AND soft.stage IN (1, 3, 7)
    AND (other.member = 0 OR (other.member = 1 AND soft.chain NOT IN (SELECT chain FROM issued)))
    AND (soft.person = other.person OR soft.parent = other.span OR soft.span = other.parent OR soft.h = other.h);

-- To which call does an access belong? By parent span, else tool-call id, else because the chain has one call.
CREATE OR REPLACE TEMP TABLE calls AS
  SELECT rid, chain, span, c, t, h, server, person, person_kind, human, read_scope, read_only_tool, system,
    member NOT IN (1, 2) OR rid IN (SELECT rid FROM agreed) AS backed,
    answered OR denied OR cancelled OR running OR rid IN (
      SELECT called.rid FROM link called JOIN link decision ON decision.chain = called.chain AND decision.stage = 2 AND decision.denied
      WHERE called.stage = 3 AND (called.c = decision.c OR called.parent = decision.span OR called.span = decision.parent OR called.parent = decision.parent)
    ) AS settled_itself
  FROM link WHERE stage = 3;

CREATE OR REPLACE TEMP TABLE one_call AS
  SELECT chain, count(*) AS n, count(*) FILTER (backed) AS backed, min(rid) AS rid FROM calls GROUP BY chain;

CREATE OR REPLACE TEMP TABLE accesses AS
  WITH called AS (SELECT rid, chain, span, c FROM calls WHERE of_slice(chain))
  SELECT link.rid, link.chain, link.person, link.person_kind, link.human, link.names_agent, link.h, link.is_write, link.wrote, link.by_agent, link.audience_match,
    link.member NOT IN (1, 2) OR link.rid IN (SELECT rid FROM agreed) AS backed,
    coalesce(by_span.call, by_id.call, CASE WHEN one_call.n = 1 THEN one_call.rid END) AS call
  FROM link
  LEFT JOIN (SELECT chain, span, min(rid) AS call FROM called WHERE span IS NOT NULL GROUP BY chain, span) by_span
    ON by_span.chain = link.chain AND by_span.span = link.parent
  LEFT JOIN (SELECT chain, c, min(rid) AS call FROM called WHERE c IS NOT NULL GROUP BY chain, c) by_id
    ON by_id.chain = link.chain AND by_id.c = link.c
  LEFT JOIN (FROM one_call WHERE of_slice(chain)) one_call ON one_call.chain = link.chain
  WHERE link.stage = 7 AND of_slice(link.chain);
