// What the tests of Node's clients share: rows, answers, and how results are told.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import pgvector from "pgvector";

const { SparseVector } = pgvector;

export const DIMENSIONS = 8;
export const BITS = 64;
export const OPERATORS = { l2: "<->", ip: "<#>", cosine: "<=>", l1: "<+>", hamming: "<~>", jaccard: "<%>" };

// [column, type, metric] of every index
export const INDEXES = [
  ...[["embedding", "vector"], ["half", "halfvec"], ["sparse", "sparsevec"]].flatMap(([column, type]) =>
    ["l2", "ip", "cosine", "l1"].map((metric) => [column, type, metric]),
  ),
  ["bits", "bit", "hamming"],
  ["bits", "bit", "jaccard"],
];

function lines(name) {
  const text = readFileSync(join(process.env.VX_CLIENTS_DATA, name), "ascii");
  return text.trimEnd().split("\n").map((line) => line.split("\t"));
}

// The values of a row or a query by column.
function values(vector, sparse, bits) {
  const embedding = JSON.parse(vector);
  return { embedding, half: embedding, sparse: new SparseVector(sparse), bits };
}

export const ITEMS = lines("items.tsv").map(([id, category, ...forms]) => ({
  id: Number(id),
  category: Number(category),
  ...values(...forms),
}));
export const QUERIES = lines("queries.tsv").map((forms) => values(...forms));
const ANSWERS = new Map(
  lines("answers.tsv").map(([metric, number, category, ids, distances]) => [
    `${metric} ${number} ${category !== "-"}`,
    [ids.split(",").map(Number), distances.split(",").map(Number)],
  ]),
);

export function same(got, wanted) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`got ${a}, not ${b}`.slice(0, 400));
}

// Each step tells its result; done() ends the program.
export class Tried {
  failed = false;

  constructor(client) {
    this.client = client;
  }

  async step(what, action) {
    try {
      await action();
      console.log(`ok ${this.client}: ${what}`);
    } catch (error) {
      this.failed = true;
      console.log(`not ok ${this.client}: ${what} - ${String(error?.message ?? error).replaceAll("\n", " ").slice(0, 400)}`);
    }
  }

  // search(column, metric, query, limit, category) gives rows of { id, distance }, the category
  // being undefined for all; it is asked for each index of these columns.
  async searches(search, columns = ["embedding", "half", "sparse", "bits"]) {
    for (const [column, , metric] of INDEXES.filter(([of]) => columns.includes(of))) {
      await this.step(`search ${column} ${metric}`, async () => {
        for (const [number, query] of QUERIES.entries()) {
          for (const [limit, category] of [[10, undefined], [5, 1]]) {
            const rows = await search(column, metric, query[column], limit, category);
            const [ids, distances] = ANSWERS.get(`${metric} ${number} ${category !== undefined}`);
            same(rows.map((row) => Number(row.id)), ids);
            for (const [i, row] of rows.entries()) {
              if (!(Math.abs(row.distance - distances[i]) < 1e-3)) throw new Error(`row ${row.id} at ${row.distance}, not ${distances[i]}`);
            }
          }
        }
      });
    }
  }

  done() {
    process.exit(this.failed ? 1 : 0);
  }
}

export function scans(plan, index) {
  const text = plan.map((row) => row["QUERY PLAN"]).join("\n");
  if (!text.includes(`Index Scan using ${index} `)) throw new Error(`no scan of ${index}: ${text}`);
}
