-- Conflict: an id that strangers share. Two records of the same stage name different people or unrelated agents, or present
-- unrelated tokens to one server. Reads `link` and `accesses` (attribution.sql). Few chains name two of anything, so these
-- are found first, in one pass, and looked at closely then.
CREATE OR REPLACE TEMP TABLE mixed AS
  SELECT chain, min(person) <> max(person) AS people, min(agent) <> max(agent) AS agents,
    min(h) FILTER (stage = 3) <> max(h) FILTER (stage = 3) AS tokens
  FROM link GROUP BY chain HAVING people OR agents OR tokens;

-- An id that several chains carry: prompts with one trace, or traces with one transaction. What a chain is named by hides
-- it, so the same is asked of all records that carry it. Not of tool-call ids: `call_0` repeats, and says nothing.
CREATE OR REPLACE TEMP TABLE carried AS
  SELECT id FROM (SELECT t AS id, chain FROM link WHERE t IS NOT NULL UNION ALL SELECT x, chain FROM link WHERE x IS NOT NULL)
  GROUP BY id HAVING min(chain) <> max(chain);

CREATE OR REPLACE TEMP TABLE bearers AS
  SELECT carried.id, chain, stage, person, person_kind, agent, service FROM link JOIN carried ON carried.id = link.t
  UNION ALL SELECT carried.id, chain, stage, person, person_kind, agent, service FROM link JOIN carried ON carried.id = link.x;

-- People, compared only within one kind of key. Accesses of one call are linked by it: they are not each other's strangers.
CREATE OR REPLACE TEMP TABLE named AS
  SELECT link.chain, stage, link.person, link.person_kind, coalesce(accesses.call, link.rid) AS unit,
    stage IN (1, 3, 5) OR accesses.call IS NOT NULL AS linked
  FROM link JOIN mixed ON mixed.chain = link.chain AND mixed.people LEFT JOIN accesses ON accesses.rid = link.rid
  WHERE link.person IS NOT NULL;

-- Along prompt, token, call and its accesses the human changed.
CREATE OR REPLACE TEMP TABLE changed AS
  SELECT DISTINCT chain FROM (
    SELECT chain FROM named WHERE linked GROUP BY chain, person_kind HAVING min(person) <> max(person));

-- Who started an agent, or acted before it (RFC 8693 §4.1: the last of the chain acted first), as the records of its chain
-- say; and the family: the one above all others, so that siblings and grandchildren are related. No deeper than 16.
CREATE OR REPLACE TEMP TABLE above AS
  SELECT DISTINCT link.chain, agent, unnest(list_append(coalesce(act, []), agent_parent)) AS other, coalesce(agent_parent, act[-2], act[-1]) AS next
  FROM link WHERE agent IS NOT NULL AND (agent_parent IS NOT NULL OR act IS NOT NULL)
    AND (chain IN (SELECT chain FROM mixed WHERE agents) OR chain IN (SELECT chain FROM bearers));

CREATE OR REPLACE TEMP TABLE family AS
  WITH RECURSIVE step AS (SELECT chain, agent, min(next) AS next FROM above WHERE next <> agent GROUP BY chain, agent),
  line AS (
    SELECT chain, agent, next AS head, 1 AS far FROM step
    UNION ALL SELECT line.chain, line.agent, step.next, far + 1 FROM line JOIN step ON step.chain = line.chain AND step.agent = line.head WHERE far < 16)
  SELECT chain, agent, arg_max(head, far) AS head FROM line GROUP BY chain, agent;

CREATE OR REPLACE TEMP TABLE strangers AS
  WITH present AS (
    SELECT DISTINCT link.chain, stage, link.agent, coalesce(family.head, link.agent) AS head
    FROM link JOIN mixed ON mixed.chain = link.chain AND mixed.agents LEFT JOIN family ON family.chain = link.chain AND family.agent = link.agent
    WHERE link.agent IS NOT NULL),
  pair AS (
    SELECT a.chain, a.agent AS one, b.agent AS other FROM present a JOIN present b ON a.chain = b.chain AND a.stage = b.stage AND a.agent < b.agent
    WHERE a.head <> b.head)
  SELECT DISTINCT pair.chain FROM pair
  ANTI JOIN above a ON a.chain = pair.chain AND a.agent = pair.one AND a.other = pair.other
  ANTI JOIN above b ON b.chain = pair.chain AND b.agent = pair.other AND b.other = pair.one;

-- Tokens at one server are related by the token that they all came from, by the person who is named with them (an honest
-- client gets a new one every hour, and no record need say from what), or by the service that acts for itself. One person
-- through two clients, and no agent to tie these together, is two hands.
CREATE OR REPLACE TEMP TABLE tokens AS
  WITH RECURSIVE shown AS (
    SELECT link.chain, stage, ts, identity, member, server, h, token, token_parent, person, service, agent, client
    FROM link JOIN mixed ON mixed.chain = link.chain AND mixed.tokens WHERE stage IN (3, 5)),
  step AS (SELECT chain, token, min(token_parent) AS next FROM shown WHERE token_parent <> token GROUP BY chain, token),
  line AS (
    SELECT chain, token, next AS head, 1 AS far FROM step
    UNION ALL SELECT line.chain, line.token, step.next, far + 1 FROM line JOIN step ON step.chain = line.chain AND step.token = line.head WHERE far < 64),
  head AS (SELECT chain, token, arg_max(head, far) AS head FROM line GROUP BY chain, token),
  -- a call may log no more than the hash: what the token is called and came from is in another record
  known AS (SELECT chain, h, coalesce(min(token_parent), min(token)) AS begins FROM shown WHERE h IS NOT NULL GROUP BY chain, h),
  origin AS (
    SELECT known.chain, known.h, coalesce(head.head, known.begins, known.h) AS origin
    FROM known LEFT JOIN head ON head.chain = known.chain AND head.token = known.begins),
  lot AS (
    SELECT shown.chain, server, origin, min(person) AS person, min(service) AS service, min(agent) AS agent, arg_min(client, (ts, identity)) AS client
    FROM shown JOIN origin ON origin.chain = shown.chain AND origin.h = shown.h
    WHERE stage = 3 AND server IS NOT NULL AND member <> 2 GROUP BY shown.chain, server, origin)
  SELECT DISTINCT chain FROM (
    SELECT chain FROM lot GROUP BY chain, server
    HAVING count(DISTINCT coalesce(person, service, origin)) > 1 OR count(DISTINCT client) FILTER (agent IS NULL AND person IS NOT NULL) > 1);

-- Who bears one id in several chains. A person who is named decides; where nobody is, the agents do, unless one service
-- identity acts through all of them. One person's work in several chains is no conflict, through whatever agents.
CREATE OR REPLACE TEMP TABLE across AS
  WITH quarrel AS (
    SELECT id, stage, person_kind FROM bearers WHERE person IS NOT NULL
    GROUP BY id, stage, person_kind HAVING min(person) <> max(person) AND min(chain) <> max(chain)),
  unnamed AS (
    SELECT bearers.id, bearers.chain, stage, service, coalesce(family.head, bearers.agent) AS head
    FROM bearers LEFT JOIN family ON family.chain = bearers.chain AND family.agent = bearers.agent
    WHERE person IS NULL AND bearers.agent IS NOT NULL),
  apart AS (
    SELECT id, stage FROM unnamed GROUP BY id, stage
    HAVING min(head) <> max(head) AND min(chain) <> max(chain) AND NOT (count(service) = count(*) AND min(service) = max(service)))
  SELECT DISTINCT bearers.id, chain FROM bearers JOIN quarrel USING (id, stage, person_kind) WHERE person IS NOT NULL
  UNION SELECT unnamed.id, chain FROM unnamed JOIN apart USING (id, stage);

CREATE OR REPLACE TEMP TABLE conflict AS
  SELECT chain FROM (SELECT chain FROM named GROUP BY chain, stage, person_kind HAVING min(person) <> max(person) AND min(unit) <> max(unit))
  UNION SELECT chain FROM strangers UNION SELECT chain FROM tokens UNION SELECT chain FROM across;
