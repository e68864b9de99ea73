-- A mix of searches, inserts, updates and deletes, one of them a transaction.
--
--   pgbench -n -M prepared -f bench/market_traffic.sql -c 4 -T 60 DATABASE
--
-- Variables (-D NAME=VALUE)
--   searches, inserts, updates, deletes
--            the mix, in parts (defaults 90, 4, 2, 4); with as many inserts as
--            deletes the number of rows stays the same
--   skew     exponent of the Zipf distribution of the queries, from 1.001
--            (default 1.1)
--   queries  queries to draw from (default: all of the table "queries")
--   only     1 to 4: nothing but searches, inserts, updates, deletes
--            (default 0: the mix)
--
-- The tables are those of bench/traffic.py --load.  The rows are a window that
-- moves: an insert adds the next id, a delete takes the oldest, an update
-- gives some row in between another vector.  Inserts and updates take their
-- vectors from the table "reserve" in turn; bench/README.md says how large it
-- has to be for no vector to be in the table twice.
--
-- A sequence or a vector is looked up in a sub-select, which is run once; a
-- volatile function in a condition would be run for each row.  search_only.sql
-- says how the defaults are set.
\if :scale
SELECT coalesce(:searches::int, 90) AS searches, coalesce(:inserts::int, 4) AS inserts, coalesce(:updates::int, 2) AS updates, coalesce(:deletes::int, 4) AS deletes, coalesce(:only::int, 0) AS only, coalesce(:skew::float8, 1.1) AS skew, coalesce(:queries::int, (SELECT max(id) FROM queries)) AS queries \gset
\set scale 0
\endif
\set dice random(1, :searches + :inserts + :updates + :deletes)
\set kind case when :only > 0 then :only when :dice <= :searches then 1 when :dice <= :searches + :inserts then 2 when :dice <= :searches + :inserts + :updates then 3 else 4 end
\if :kind = 1
\set query random_zipfian(1, :queries, :skew)
SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM queries WHERE id = :query) LIMIT 10;
\elif :kind = 2
INSERT INTO items (embedding) SELECT embedding FROM reserve WHERE id = (SELECT nextval('reserve_next'));
\elif :kind = 3
\set place random(0, 999999)
UPDATE items SET embedding = (SELECT embedding FROM reserve WHERE id = (SELECT nextval('reserve_next'))) WHERE id = (SELECT o.last_value + (n.last_value - o.last_value) * :place / 1000000 FROM items_oldest o, items_id_seq n);
\else
DELETE FROM items WHERE id = (SELECT nextval('items_oldest'));
\endif
