// pg (node-postgres) with pgvector's types: COPY, prepared statements.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import pg from "pg";
import copyStreams from "pg-copy-streams";
import pgvector from "pgvector/pg";
import { INDEXES, ITEMS, OPERATORS, QUERIES, Tried, same, scans } from "./shared.mjs";

const tried = new Tried("node pg");
const client = new pg.Client();
await client.connect();

// Values as parameters, and as a line of COPY.
const parameter = (value) => (typeof value === "string" ? value : pgvector.toSql(value));
const record = (row) => [row.id, row.category, ...["embedding", "half", "sparse", "bits"].map((column) => parameter(row[column]))];

await tried.step("CREATE EXTENSION, types", async () => {
  await client.query("CREATE EXTENSION IF NOT EXISTS vector");
  await pgvector.registerTypes(client);
  await client.query(
    "CREATE TABLE items (id int PRIMARY KEY, category int, embedding vector(8), half halfvec(8), sparse sparsevec(8), bits bit(64))",
  );
});
await tried.step("COPY", async () => {
  const lines = ITEMS.slice(0, 200).map((row) => record(row).join("\t") + "\n");
  await pipeline(Readable.from(lines), client.query(copyStreams.from("COPY items FROM STDIN")));
});
await tried.step("an index of each type and metric", async () => {
  for (const [column, type, metric] of INDEXES) {
    await client.query(`CREATE INDEX ${column}_${metric} ON items USING hnsw (${column} ${type}_${metric}_ops)`);
  }
});
await tried.step("INSERT", async () => {
  for (const row of ITEMS.slice(200)) await client.query("INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6)", record(row));
});
await tried.step("what is read is what was written", async () => {
  const { rows } = await client.query("SELECT * FROM items ORDER BY id");
  same(rows, ITEMS);
});
await tried.searches(async (column, metric, query, limit, category) => {
  const where = category === undefined ? "" : "WHERE category = $3 ";
  const text = `SELECT id, ${column} ${OPERATORS[metric]} $1 AS distance FROM items ${where}ORDER BY distance LIMIT $2`;
  const given = [parameter(query), limit, ...(category === undefined ? [] : [category])];
  scans((await client.query(`EXPLAIN ${text}`, given)).rows, `${column}_${metric}`);
  // prepared, used more often than the server plans it anew
  for (let i = 0; i < 6; i++) await client.query({ name: `${column} ${metric} ${category}`, text, values: given });
  return (await client.query({ name: `${column} ${metric} ${category}`, text, values: given })).rows;
});
await tried.step("a pool, searches at once", async () => {
  const pool = new pg.Pool({ max: 4 });
  const text = "SELECT id FROM items ORDER BY embedding <-> $1 LIMIT 10";
  const found = await Promise.all([...QUERIES, ...QUERIES, ...QUERIES].map((query) => pool.query(text, [parameter(query.embedding)])));
  same(found.slice(0, 3).map(({ rows }) => rows), found.slice(6).map(({ rows }) => rows));
  await pool.end();
});
await client.end();
tried.done();
