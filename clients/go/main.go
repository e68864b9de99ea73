// Program clients runs pgvector-go against vectorx: pgx with values in binary form, COPY,
// and database/sql with values as text.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pgvector/pgvector-go"
	pgxvector "github.com/pgvector/pgvector-go/pgx"
)

var ctx = context.Background()

const table = "CREATE TABLE items (id int PRIMARY KEY, category int, embedding vector(8), half halfvec(8), sparse sparsevec(8), bits bit(64))"

// statement is a search; a category is its third parameter.
func statement(of index, filtered bool) string {
	where := ""
	if filtered {
		where = "WHERE category = $3 "
	}
	return fmt.Sprintf("SELECT id, %s %s $1 AS distance FROM items %sORDER BY distance LIMIT $2", of.column, operators[of.metric], where)
}

// parameters of that statement.
func parameters(value any, filtered bool) []any {
	if filtered {
		return []any{value, 5, 1}
	}
	return []any{value, 10}
}

func makeTable(db *pgx.Conn) error {
	if _, err := db.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS vector"); err != nil {
		return err
	}
	if err := pgxvector.RegisterTypes(ctx, db); err != nil {
		return err
	}
	_, err := db.Exec(ctx, table)
	return err
}

func copyRows(db *pgx.Conn) error {
	var records [][]any
	for _, row := range items[:200] {
		records = append(records, row.record())
	}
	names := append([]string{"id", "category"}, columns...)
	_, err := db.CopyFrom(ctx, pgx.Identifier{"items"}, names, pgx.CopyFromRows(records))
	return err
}

func insertBatch(db *pgx.Conn) error {
	batch := &pgx.Batch{}
	for _, row := range items[200:] {
		batch.Queue("INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6)", row.record()...)
	}
	return db.SendBatch(ctx, batch).Close()
}

func read(db *pgx.Conn) error {
	rows := must(db.Query(ctx, "SELECT embedding, half, sparse, bits FROM items ORDER BY id"))
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		var embedding pgvector.Vector
		var half pgvector.HalfVector
		var sparse pgvector.SparseVector
		var bits pgtype.Bits
		if err := rows.Scan(&embedding, &half, &sparse, &bits); err != nil {
			return err
		}
		got := map[string]any{"embedding": embedding, "half": half, "sparse": sparse, "bits": bits}
		if !reflect.DeepEqual(got, items[i].values()) {
			return fmt.Errorf("got %v, not %v", got, items[i].values())
		}
	}
	return rows.Err()
}

// found is the answer in a query's rows.
func found(rows interface {
	Next() bool
	Scan(...any) error
	Err() error
}) (answer, error) {
	var got answer
	for rows.Next() {
		var id int32
		var distance float64
		if err := rows.Scan(&id, &distance); err != nil {
			return got, err
		}
		got.ids = append(got.ids, id)
		got.distances = append(got.distances, distance)
	}
	return got, rows.Err()
}

func searchPgx(db *pgx.Conn, of index) error {
	for number, query := range queries {
		for _, filtered := range []bool{false, true} {
			text, values := statement(of, filtered), parameters(query.values()[of.column], filtered)
			rows, err := db.Query(ctx, text, values...)
			if err != nil {
				return err
			}
			got, err := found(rows)
			if err != nil {
				return err
			}
			if err := answered(search{of.metric, number, filtered}, got); err != nil {
				return err
			}
			rows, err = db.Query(ctx, "EXPLAIN "+text, values...)
			if err != nil {
				return err
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			if err := scans(plan, of.name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func searchSQL(db *sql.DB, of index) error {
	for number, query := range queries {
		for _, filtered := range []bool{false, true} {
			rows, err := db.Query(statement(of, filtered), parameters(query.values()[of.column], filtered)...)
			if err != nil {
				return err
			}
			got, err := found(rows)
			rows.Close()
			if err != nil {
				return err
			}
			if err := answered(search{of.metric, number, filtered}, got); err != nil {
				return err
			}
		}
	}
	return nil
}

func main() {
	load()
	db := must(pgx.Connect(ctx, ""))
	try("pgx: CREATE EXTENSION, types", func() error { return makeTable(db) })
	try("pgx: COPY in binary form", func() error { return copyRows(db) })
	try("pgx: an index of each type and metric", func() error {
		for _, of := range indexes() {
			if _, err := db.Exec(ctx, of.create()); err != nil {
				return err
			}
		}
		return nil
	})
	try("pgx: INSERT in a batch", func() error { return insertBatch(db) })
	try("pgx: what is read is what was written", func() error { return read(db) })
	for _, of := range indexes() {
		try("pgx: search "+of.column+" "+of.metric, func() error { return searchPgx(db, of) })
	}
	db.Close(ctx)

	standard := must(sql.Open("pgx", ""))
	for _, of := range indexes() {
		try("database/sql: search "+of.column+" "+of.metric, func() error { return searchSQL(standard, of) })
	}
	standard.Close()
	if failed {
		os.Exit(1)
	}
}
