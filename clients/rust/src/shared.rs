//! What both clients share: rows, answers, and how results are told.

use std::collections::HashMap;
use std::error::Error;
use std::fs::read_to_string;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub const TABLE: &str = "CREATE TABLE items (id int PRIMARY KEY, category int, \
    embedding vector(8), half halfvec(8), sparse sparsevec(8), bits bit(64))";

/// One index of the table.
pub struct Index {
    pub column: &'static str,
    pub kind: &'static str,
    pub metric: &'static str,
    operator: &'static str,
}

pub fn indexes() -> Vec<Index> {
    let mut all = Vec::new();
    let mut add = |column, kind, metric, operator| all.push(Index { column, kind, metric, operator });
    for (metric, operator) in [("l2", "<->"), ("ip", "<#>"), ("cosine", "<=>"), ("l1", "<+>")] {
        add("embedding", "vector", metric, operator);
        add("half", "halfvec", metric, operator);
        add("sparse", "sparsevec", metric, operator);
    }
    add("bits", "bit", "hamming", "<~>");
    add("bits", "bit", "jaccard", "<%>");
    all
}

impl Index {
    pub fn name(&self) -> String {
        format!("{}_{}", self.column, self.metric)
    }

    pub fn create(&self) -> String {
        format!("CREATE INDEX {} ON items USING hnsw ({} {}_{}_ops)", self.name(), self.column, self.kind, self.metric)
    }

    /// A search for `parameter`; it has a category as third parameter if it is filtered.
    pub fn statement(&self, parameter: &str, filtered: bool) -> String {
        let condition = if filtered { "WHERE category = $3 " } else { "" };
        format!(
            "SELECT id, {} {} {parameter} AS distance FROM items {condition}ORDER BY distance LIMIT $2",
            self.column, self.operator
        )
    }
}

/// A row of the table, or a query.
pub struct Row {
    pub id: i32,
    pub category: i32,
    pub vector: Vec<f32>,
    pub bits: String,
}

/// Metric, number of the query, filtered.
type Search = (String, usize, bool);

pub struct Data {
    pub items: Vec<Row>,
    pub queries: Vec<Row>,
    answers: HashMap<Search, (Vec<i32>, Vec<f64>)>,
}

fn lines(name: &str) -> Result<Vec<Vec<String>>> {
    let folder = std::env::var("VX_CLIENTS_DATA")?;
    let text = read_to_string(Path::new(&folder).join(name))?;
    Ok(text.lines().map(|line| line.split('\t').map(String::from).collect()).collect())
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.trim_matches(['[', ']']).split(',').filter_map(|part| part.parse().ok()).collect()
}

pub fn load() -> Result<Data> {
    let mut items = Vec::new();
    for field in lines("items.tsv")? {
        items.push(Row { id: field[0].parse()?, category: field[1].parse()?, vector: numbers(&field[2]), bits: field[4].clone() });
    }
    let mut queries = Vec::new();
    for field in lines("queries.tsv")? {
        queries.push(Row { id: 0, category: 0, vector: numbers(&field[0]), bits: field[2].clone() });
    }
    let mut answers = HashMap::new();
    for field in lines("answers.tsv")? {
        let key = (field[0].clone(), field[1].parse()?, field[2] != "-");
        answers.insert(key, (numbers(&field[3]), numbers(&field[4])));
    }
    Ok(Data { items, queries, answers })
}

impl Data {
    /// Compares ids and distances with the exact answer.
    pub fn answered(&self, metric: &str, query: usize, filtered: bool, got: &[(i32, f64)]) -> Result<()> {
        let (ids, distances) = &self.answers[&(metric.to_string(), query, filtered)];
        let near = |(row, wanted): (&(i32, f64), &f64)| (row.1 - wanted).abs() < 1e-3;
        if got.iter().map(|row| row.0).ne(ids.iter().copied()) || !got.iter().zip(distances).all(near) {
            return Err(format!("query {query}: got {got:?}, not {ids:?} at {distances:?}").into());
        }
        Ok(())
    }
}

/// Fails if a plan is no scan of this index.
pub fn scans(plan: &[String], index: &str) -> Result<()> {
    if plan.iter().any(|line| line.contains(&format!("Index Scan using {index} "))) {
        return Ok(());
    }
    Err(format!("no scan of {index}: {}", plan.join(" | ")).into())
}

/// Tells the result of what was tried; true if it failed.
pub fn told(client: &str, what: &str, result: Result<()>) -> bool {
    match result {
        Ok(()) => println!("ok {client}: {what}"),
        Err(ref error) => println!("not ok {client}: {what} - {}", error.to_string().replace('\n', " ")),
    }
    result.is_err()
}
