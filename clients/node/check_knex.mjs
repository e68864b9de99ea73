// Knex with pgvector's columns and distances.
import knexOf from "knex";
import pgvector from "pgvector/knex";
import { BITS, DIMENSIONS, INDEXES, ITEMS, Tried, same, scans } from "./shared.mjs";

const tried = new Tried("knex");
const knex = knexOf({ client: "pg", connection: { host: process.env.PGHOST, port: Number(process.env.PGPORT) } });
const DISTANCES = {
  l2: "l2Distance", ip: "maxInnerProduct", cosine: "cosineDistance", l1: "l1Distance", hamming: "hammingDistance", jaccard: "jaccardDistance",
};

await tried.step("extension, table and indexes by the schema builder", async () => {
  await knex.schema.enableExtension("vector");
  await knex.schema.createTable("items", (table) => {
    table.integer("id").primary();
    table.integer("category");
    table.vector("embedding", DIMENSIONS);
    table.halfvec("half", { dimensions: DIMENSIONS });
    table.sparsevec("sparse", { dimensions: DIMENSIONS });
    table.bit("bits", { length: BITS });
    for (const [column, type, metric] of INDEXES) table.index(knex.raw(`${column} ${type}_${metric}_ops`), `${column}_${metric}`, "hnsw");
  });
});
await tried.step("rows are inserted", async () => {
  const rows = ITEMS.map((row) => ({ ...row, embedding: pgvector.toSql(row.embedding), half: pgvector.toSql(row.half), sparse: pgvector.toSql(row.sparse) }));
  await knex.batchInsert("items", rows, 50);
});
await tried.step("what is read is what was written", async () => {
  const rows = await knex("items").orderBy("id");
  same(rows.map((row) => [row.id, pgvector.fromSql(row.embedding), pgvector.fromSql(row.half), row.bits]), ITEMS.map((row) => [row.id, row.embedding, row.half, row.bits]));
});
await tried.searches(async (column, metric, query, limit, category) => {
  const distance = knex.queryBuilder()[DISTANCES[metric]](column, query);
  const asked = knex("items").select("id", knex.raw("? as distance", [distance])).orderBy(distance).limit(limit);
  if (category !== undefined) asked.where({ category });
  scans((await knex.raw("EXPLAIN ?", [asked])).rows, `${column}_${metric}`);
  return asked;
});
await knex.destroy();
tried.done();
