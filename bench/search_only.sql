-- Searches only: the ten nearest rows of a query that is drawn from a set of
-- which some are asked far more often than others.
--
--   pgbench -n -M prepared -f bench/search_only.sql -c 4 -T 60 DATABASE
--
-- Variables (-D NAME=VALUE)
--   skew     exponent of the Zipf distribution, from 1.001 (default 1.1)
--   queries  queries to draw from (default: all of the table "queries")
--
-- The tables are those of bench/traffic.py --load.  The query vector is looked
-- up on the server, so that the client's share of the work stays small.
--
-- pgbench has no test for whether a variable was given, but sends one that was
-- not as NULL, if the protocol is extended or prepared.  Its own variable
-- "scale" tells a client's first transaction, which sets the defaults; variables
-- last as long as the client.
\if :scale
SELECT coalesce(:skew::float8, 1.1) AS skew, coalesce(:queries::int, (SELECT max(id) FROM queries)) AS queries \gset
\set scale 0
\endif
\set query random_zipfian(1, :queries, :skew)
SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM queries WHERE id = :query) LIMIT 10;
