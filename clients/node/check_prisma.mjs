// Prisma with its adapter for pg: types it does not know as Unsupported, statements as SQL.  The
// engine that makes migrations is no package of npm; table and indexes are made by what a
// migration would have, SQL.
import { PrismaPg } from "@prisma/adapter-pg";
import prismaClient from "@prisma/client";
import pgvector from "pgvector";
import { INDEXES, ITEMS, OPERATORS, Tried, same, scans } from "./shared.mjs";

const { Prisma, PrismaClient } = prismaClient;
const tried = new Tried("prisma");
const { PGHOST, PGPORT, PGUSER, PGDATABASE } = process.env;
const prisma = new PrismaClient({
  adapter: new PrismaPg({ host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE }),
});

await tried.step("extension, table and indexes", async () => {
  await prisma.$executeRaw`CREATE EXTENSION IF NOT EXISTS vector`;
  await prisma.$executeRaw`CREATE TABLE items (id int PRIMARY KEY, category int NOT NULL, embedding vector(8) NOT NULL,
    half halfvec(8) NOT NULL, sparse sparsevec(8) NOT NULL, bits bit(64) NOT NULL)`;
  for (const [column, type, metric] of INDEXES) {
    await prisma.$executeRawUnsafe(`CREATE INDEX ${column}_${metric} ON items USING hnsw (${column} ${type}_${metric}_ops)`);
  }
});
await tried.step("rows are inserted", async () => {
  await prisma.$transaction(
    ITEMS.map(
      (row) => prisma.$executeRaw`INSERT INTO items VALUES (${row.id}, ${row.category}, ${pgvector.toSql(row.embedding)}::vector,
        ${pgvector.toSql(row.half)}::halfvec, ${pgvector.toSql(row.sparse)}::sparsevec, ${row.bits}::text::bit(64))`,
    ),
  );
});
await tried.step("what is read is what was written", async () => {
  const rows = await prisma.$queryRaw`SELECT id, embedding::text, half::text FROM items ORDER BY id`;
  same(rows.map((row) => [row.id, JSON.parse(row.embedding), JSON.parse(row.half)]), ITEMS.map((row) => [row.id, row.embedding, row.half]));
  same(await prisma.item.count({ where: { category: 1 } }), ITEMS.filter((row) => row.category === 1).length);
});
await tried.searches(async (column, metric, query, limit, category) => {
  const [, type] = INDEXES.find(([of]) => of === column);
  const value = type === "bit" ? Prisma.sql`${query}::text::bit(64)` : Prisma.sql`${pgvector.toSql(query)}::${Prisma.raw(type)}`;
  const where = category === undefined ? Prisma.empty : Prisma.sql`WHERE category = ${category}`;
  const statement = Prisma.sql`SELECT id, ${Prisma.raw(`${column} ${OPERATORS[metric]}`)} ${value} AS distance
    FROM items ${where} ORDER BY distance LIMIT ${limit}`;
  scans(await prisma.$queryRaw`EXPLAIN ${statement}`, `${column}_${metric}`);
  return prisma.$queryRaw(statement);
});
await prisma.$disconnect();
tried.done();
