//! The pgvector crate against vectorx: tokio-postgres with COPY in binary form, then sqlx on
//! the same table.

mod shared;

use std::pin::pin;

use bit_vec::BitVec;
use futures_util::TryStreamExt;
use pgvector::{HalfVector, SparseVector, Vector};
use shared::{indexes, load, scans, told, Data, Index, Result, Row, TABLE};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

fn vector(row: &Row) -> Vector {
    Vector::from(row.vector.clone())
}

fn half(row: &Row) -> HalfVector {
    HalfVector::from_f32_slice(&row.vector)
}

fn sparse(row: &Row) -> SparseVector {
    SparseVector::from_dense(&row.vector)
}

fn bits(row: &Row) -> BitVec {
    row.bits.chars().map(|bit| bit == '1').collect()
}

/// The value of a column as a parameter.
fn parameter(row: &Row, column: &str) -> Box<dyn ToSql + Sync> {
    match column {
        "embedding" => Box::new(vector(row)),
        "half" => Box::new(half(row)),
        "sparse" => Box::new(sparse(row)),
        _ => Box::new(bits(row)),
    }
}

async fn connect() -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(std::env::var("PGHOST")?).port(std::env::var("PGPORT")?.parse()?);
    config.user(std::env::var("PGUSER")?).dbname(std::env::var("PGDATABASE")?);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn make(client: &Client) -> Result<()> {
    client.execute("CREATE EXTENSION IF NOT EXISTS vector", &[]).await?;
    client.execute(TABLE, &[]).await?;
    Ok(())
}

async fn copy(client: &Client, rows: &[Row]) -> Result<()> {
    let types: Vec<_> = client.prepare("SELECT * FROM items").await?.columns().iter().map(|c| c.type_().clone()).collect();
    let sink = client.copy_in("COPY items FROM STDIN (FORMAT BINARY)").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for row in rows {
        writer.as_mut().write(&[&row.id, &row.category, &vector(row), &half(row), &sparse(row), &bits(row)]).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn make_indexes(client: &Client) -> Result<()> {
    for index in indexes() {
        client.execute(&index.create(), &[]).await?;
    }
    Ok(())
}

async fn insert(client: &Client, rows: &[Row]) -> Result<()> {
    let statement = client.prepare("INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6)").await?;
    for row in rows {
        client.execute(&statement, &[&row.id, &row.category, &vector(row), &half(row), &sparse(row), &bits(row)]).await?;
    }
    Ok(())
}

async fn read(client: &Client, rows: &[Row]) -> Result<()> {
    let found = client.query("SELECT embedding, half, sparse, bits FROM items ORDER BY id", &[]).await?;
    for (got, row) in found.iter().zip(rows) {
        let same = got.get::<_, Vector>(0) == vector(row)
            && got.get::<_, HalfVector>(1) == half(row)
            && got.get::<_, SparseVector>(2) == sparse(row)
            && got.get::<_, BitVec>(3) == bits(row);
        if !same {
            return Err(format!("row {} is another", row.id).into());
        }
    }
    if found.len() != rows.len() {
        return Err(format!("{} rows", found.len()).into());
    }
    Ok(())
}

async fn search(client: &Client, data: &Data, index: &Index) -> Result<()> {
    for (number, query) in data.queries.iter().enumerate() {
        for filtered in [false, true] {
            let value = parameter(query, index.column);
            let limit: i64 = if filtered { 5 } else { 10 };
            let mut values: Vec<&(dyn ToSql + Sync)> = vec![value.as_ref(), &limit];
            if filtered {
                values.push(&1i32);
            }
            let text = index.statement("$1", filtered);
            // a stream of rows
            let rows = client.query_raw(&text, values.clone()).await?;
            let got = rows.map_ok(|row| (row.get(0), row.get(1))).try_collect::<Vec<(i32, f64)>>().await?;
            data.answered(index.metric, number, filtered, &got)?;
            let plan = client.query(&format!("EXPLAIN {text}"), &values).await?;
            scans(&plan.iter().map(|row| row.get(0)).collect::<Vec<String>>(), &index.name())?;
        }
    }
    Ok(())
}

async fn search_sqlx(pool: &PgPool, data: &Data, index: &Index) -> Result<()> {
    for (number, query) in data.queries.iter().enumerate() {
        for filtered in [false, true] {
            let form = if index.kind == "bit" { "$1::text::bit(64)" } else { "$1" };
            let asked = sqlx::query(AssertSqlSafe(index.statement(form, filtered)));
            let asked = match index.column {
                "embedding" => asked.bind(vector(query)),
                "half" => asked.bind(half(query)),
                "sparse" => asked.bind(sparse(query)),
                _ => asked.bind(query.bits.clone()),
            };
            let asked = if filtered { asked.bind(5i64).bind(1i32) } else { asked.bind(10i64) };
            let rows = asked.fetch_all(pool).await?;
            let got: Vec<(i32, f64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            data.answered(index.metric, number, filtered, &got)?;
        }
    }
    Ok(())
}

async fn with_sqlx(data: &Data) -> Result<bool> {
    let pool = PgPool::connect("postgres://").await?;
    let mut failed = false;
    for index in indexes() {
        let what = format!("search {} {}", index.column, index.metric);
        failed |= told("sqlx", &what, search_sqlx(&pool, data, &index).await);
    }
    let read = sqlx::query_scalar::<_, Vector>("SELECT embedding FROM items ORDER BY id").fetch_all(&pool).await;
    let same = match read {
        Ok(got) if got == data.items.iter().map(vector).collect::<Vec<_>>() => Ok(()),
        Ok(_) => Err("vectors are others".into()),
        Err(error) => Err(error.into()),
    };
    failed |= told("sqlx", "what is read is what was written", same);
    Ok(failed)
}

#[tokio::main]
async fn main() -> Result<()> {
    let data = load()?;
    let client = connect().await?;
    let name = "tokio-postgres";
    let mut failed = told(name, "CREATE EXTENSION, types", make(&client).await);
    failed |= told(name, "COPY in binary form", copy(&client, &data.items[..200]).await);
    failed |= told(name, "an index of each type and metric", make_indexes(&client).await);
    failed |= told(name, "INSERT with a prepared statement", insert(&client, &data.items[200..]).await);
    failed |= told(name, "what is read is what was written", read(&client, &data.items).await);
    for index in indexes() {
        let what = format!("search {} {}", index.column, index.metric);
        failed |= told(name, &what, search(&client, &data, &index).await);
    }
    failed |= with_sqlx(&data).await?;
    std::process::exit(failed as i32);
}
