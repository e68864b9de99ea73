// Sequelize with pgvector's types and distances.
import pgvector from "pgvector/sequelize";
import Sequelize from "sequelize";
import { BITS, DIMENSIONS, INDEXES, ITEMS, Tried, same, scans } from "./shared.mjs";

pgvector.registerTypes(Sequelize);
const { DataTypes } = Sequelize;
const tried = new Tried("sequelize");
const connect = () =>
  new Sequelize.Sequelize(process.env.PGDATABASE, process.env.PGUSER, "", {
    host: process.env.PGHOST, port: Number(process.env.PGPORT), dialect: "postgres", logging: false,
  });
const sequelize = connect();
const DISTANCES = {
  l2: pgvector.l2Distance, ip: pgvector.maxInnerProduct, cosine: pgvector.cosineDistance, l1: pgvector.l1Distance,
  hamming: pgvector.hammingDistance, jaccard: pgvector.jaccardDistance,
};

const Item = sequelize.define(
  "Item",
  {
    id: { type: DataTypes.INTEGER, primaryKey: true },
    category: DataTypes.INTEGER,
    embedding: DataTypes.VECTOR(DIMENSIONS),
    half: DataTypes.HALFVEC(DIMENSIONS),
    sparse: DataTypes.SPARSEVEC(DIMENSIONS),
    bits: `BIT(${BITS})`,
  },
  {
    tableName: "items",
    timestamps: false,
    indexes: INDEXES.map(([column, type, metric]) => ({
      name: `${column}_${metric}`, fields: [column], using: "hnsw", operator: `${type}_${metric}_ops`,
    })),
  },
);

await tried.step("extension, table and indexes from the model", async () => {
  // by another one: it learns the types' numbers with its first connection
  const first = connect();
  await first.query("CREATE EXTENSION IF NOT EXISTS vector");
  await first.close();
  await sequelize.sync();
});
await tried.step("objects are created, one and many", async () => {
  await Item.create(ITEMS[0]);
  await Item.bulkCreate(ITEMS.slice(1));
});
await tried.step("what is read is what was written", async () => {
  same(await Item.findAll({ order: ["id"] }), ITEMS);
});
await tried.searches(async (column, metric, query, limit, category) => {
  const distance = DISTANCES[metric](column, query, sequelize);
  let statement;
  const rows = await Item.findAll({
    attributes: ["id", [distance, "distance"]],
    order: [distance],
    limit,
    where: category === undefined ? {} : { category },
    raw: true,
    logging: (text) => (statement = text.replace(/^Executing [^:]*: /, "")),
  });
  scans((await sequelize.query(`EXPLAIN ${statement}`))[0], `${column}_${metric}`);
  return rows;
});
await sequelize.close();
tried.done();
