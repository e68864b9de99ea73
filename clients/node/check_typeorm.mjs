// TypeORM, which knows the types vector and halfvec and writes distances as SQL; its indexes
// have no access method, so that these are statements of a migration.
import "reflect-metadata";
import { DataSource, EntitySchema } from "typeorm";
import { BITS, DIMENSIONS, INDEXES, ITEMS, OPERATORS, Tried, same, scans } from "./shared.mjs";

const tried = new Tried("typeorm");
const Item = new EntitySchema({
  name: "Item",
  tableName: "items",
  columns: {
    id: { type: "int", primary: true },
    category: { type: "int" },
    embedding: { type: "vector", length: DIMENSIONS },
    half: { type: "halfvec", length: DIMENSIONS },
    bits: { type: "bit", length: String(BITS) },
  },
});
const COLUMNS = ["embedding", "half", "bits"];
const indexes = INDEXES.filter(([column]) => COLUMNS.includes(column)).map(
  ([column, type, metric]) => `CREATE INDEX ${column}_${metric} ON items USING hnsw (${column} ${type}_${metric}_ops)`,
);

class Indexes1 {
  name = "Indexes1700000000000";
  async up(runner) {
    for (const statement of indexes) await runner.query(statement);
  }
  async down() {}
}

const source = new DataSource({
  type: "postgres", host: process.env.PGHOST, port: Number(process.env.PGPORT), username: process.env.PGUSER, database: process.env.PGDATABASE,
  entities: [Item], migrations: [Indexes1],
});
await tried.step("extension and table from the entity, indexes by a migration", async () => {
  await source.initialize();
  await source.synchronize();
  await source.runMigrations();
});
const repository = source.getRepository(Item);
await tried.step("objects are saved, rows inserted", async () => {
  const rows = ITEMS.map(({ sparse: _sparse, ...row }) => row);
  await repository.save(rows.slice(0, 50));
  await repository.insert(rows.slice(50));
});
await tried.step("what is read is what was written", async () => {
  same(await repository.find({ order: { id: "ASC" } }), ITEMS.map(({ sparse: _sparse, ...row }) => row));
});
await tried.searches(async (column, metric, query, limit, category) => {
  const cast = column === "bits" ? `::bit(${BITS})` : "";
  const asked = repository
    .createQueryBuilder("item")
    .select("item.id", "id")
    .addSelect(`item.${column} ${OPERATORS[metric]} :query${cast}`, "distance")
    .orderBy("distance")
    .limit(limit)
    .setParameter("query", column === "bits" ? query : JSON.stringify(query));
  if (category !== undefined) asked.where("item.category = :category", { category });
  const [statement, values] = asked.getQueryAndParameters();
  scans(await source.query(`EXPLAIN ${statement}`, values), `${column}_${metric}`);
  return asked.getRawMany();
}, COLUMNS);
await source.destroy();
tried.done();
