-- Inserts, updates and deletes, one of them a transaction.
--
--   pgbench -n -M prepared -f bench/write_only.sql -c 4 -T 60 DATABASE
--
-- Variables (-D NAME=VALUE)
--   inserts, updates, deletes
--            the mix, in parts (defaults 4, 2, 4)
--   only     2 to 4: nothing but inserts, updates, deletes (default 0: the mix)
--
-- market_traffic.sql, which has the same statements, says how they work, and
-- search_only.sql how the defaults are set.
\if :scale
SELECT coalesce(:inserts::int, 4) AS inserts, coalesce(:updates::int, 2) AS updates, coalesce(:deletes::int, 4) AS deletes, coalesce(:only::int, 0) AS only \gset
\set scale 0
\endif
\set dice random(1, :inserts + :updates + :deletes)
\set kind case when :only > 0 then :only when :dice <= :inserts then 2 when :dice <= :inserts + :updates then 3 else 4 end
\if :kind = 2
INSERT INTO items (embedding) SELECT embedding FROM reserve WHERE id = (SELECT nextval('reserve_next'));
\elif :kind = 3
\set place random(0, 999999)
UPDATE items SET embedding = (SELECT embedding FROM reserve WHERE id = (SELECT nextval('reserve_next'))) WHERE id = (SELECT o.last_value + (n.last_value - o.last_value) * :place / 1000000 FROM items_oldest o, items_id_seq n);
\else
DELETE FROM items WHERE id = (SELECT nextval('items_oldest'));
\endif
