-- What only an emitter's records together can say: is a number missing, is the chain of hashes broken? Reads `ev`.
-- Ordered by the emitter's clock, then its counter. A counter that starts again at nought is a restart, a number written
-- twice a copy; a record without a number is unknown and no hole for the next.
CREATE OR REPLACE TEMP TABLE evidence AS
  WITH counted AS (
    SELECT rid, sequence - lag(sequence) OVER (PARTITION BY emitter ORDER BY ts, sequence, identity) AS step, sequence
    FROM ev WHERE emitter IS NOT NULL AND sequence IS NOT NULL),
  hashed AS (
    SELECT rid, previous_hash <> lag(record_hash) OVER (PARTITION BY emitter ORDER BY ts, sequence, identity) AS broken
    FROM ev WHERE emitter IS NOT NULL AND coalesce(sequence, record_hash, previous_hash) IS NOT NULL)
  SELECT coalesce(counted.rid, hashed.rid) AS rid,
    CASE WHEN step IS NULL THEN NULL WHEN sequence <= 1 AND step < 0 THEN false ELSE step NOT IN (0, 1) END AS sequence_gap, broken AS hash_broken
  FROM counted FULL JOIN hashed ON hashed.rid = counted.rid;
