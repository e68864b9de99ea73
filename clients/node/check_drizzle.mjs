// Drizzle, whose columns and distances are its own; table and indexes as drizzle-kit makes them.
import { createRequire } from "node:module";
import { asc, cosineDistance, eq, hammingDistance, innerProduct, jaccardDistance, l1Distance, l2Distance, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bit, halfvec, index, integer, pgTable, sparsevec, vector } from "drizzle-orm/pg-core";
import pg from "pg";
import { BITS, DIMENSIONS, INDEXES, ITEMS, Tried, same, scans } from "./shared.mjs";

const { generateDrizzleJson, generateMigration } = createRequire(import.meta.url)("drizzle-kit/api");
const tried = new Tried("drizzle");
const pool = new pg.Pool();
const db = drizzle(pool);

const items = pgTable(
  "items",
  {
    id: integer("id").primaryKey(),
    category: integer("category"),
    embedding: vector("embedding", { dimensions: DIMENSIONS }),
    half: halfvec("half", { dimensions: DIMENSIONS }),
    sparse: sparsevec("sparse", { dimensions: DIMENSIONS }),
    bits: bit("bits", { dimensions: BITS }),
  },
  (table) => INDEXES.map(([column, type, metric]) => index(`${column}_${metric}`).using("hnsw", table[column].op(`${type}_${metric}_ops`))),
);
const DISTANCES = { l2: l2Distance, ip: innerProduct, cosine: cosineDistance, l1: l1Distance, hamming: hammingDistance, jaccard: jaccardDistance };
// sparsevec and bit take text
const given = (column, value) => (column === "sparse" ? value.toPostgres() : value);

await tried.step("extension, table and indexes from the schema", async () => {
  await db.execute(sql`CREATE EXTENSION IF NOT EXISTS vector`);
  for (const statement of await generateMigration(generateDrizzleJson({}), generateDrizzleJson({ items }))) await db.execute(sql.raw(statement));
});
await tried.step("rows are inserted", async () => {
  await db.insert(items).values(ITEMS.map((row) => ({ ...row, sparse: row.sparse.toPostgres() })));
});
await tried.step("what is read is what was written", async () => {
  same(await db.select().from(items).orderBy(asc(items.id)), ITEMS.map((row) => ({ ...row, sparse: row.sparse.toPostgres() })));
});
await tried.searches(async (column, metric, query, limit, category) => {
  const distance = DISTANCES[metric](items[column], given(column, query));
  const asked = db.select({ id: items.id, distance }).from(items).orderBy(distance).limit(limit);
  if (category !== undefined) asked.where(eq(items.category, category));
  scans((await db.execute(sql`EXPLAIN ${asked}`)).rows, `${column}_${metric}`);
  return asked;
});
await pool.end();
tried.done();
