package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/pgvector/pgvector-go"
)

// index is one of the table's: of a column, its type and a metric.
type index struct{ column, kind, metric string }

func (i index) name() string { return i.column + "_" + i.metric }

func (i index) create() string {
	return fmt.Sprintf("CREATE INDEX %s ON items USING hnsw (%s %s_%s_ops)", i.name(), i.column, i.kind, i.metric)
}

var (
	operators = map[string]string{"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>", "hamming": "<~>", "jaccard": "<%>"}
	columns   = []string{"embedding", "half", "sparse", "bits"}
)

func indexes() []index {
	var all []index
	for _, metric := range []string{"l2", "ip", "cosine", "l1"} {
		all = append(all, index{"embedding", "vector", metric}, index{"half", "halfvec", metric}, index{"sparse", "sparsevec", metric})
	}
	return append(all, index{"bits", "bit", "hamming"}, index{"bits", "bit", "jaccard"})
}

// row is one of the table's, or a query, whose id and category are 0.
type row struct {
	id, category int32
	vector       []float32
	bits         string
}

// values are those of the columns.
func (r row) values() map[string]any {
	bits := pgtype.Bits{Bytes: make([]byte, (len(r.bits)+7)/8), Len: int32(len(r.bits)), Valid: true}
	for i, bit := range r.bits {
		if bit == '1' {
			bits.Bytes[i/8] |= 0x80 >> (i % 8)
		}
	}
	return map[string]any{
		"embedding": pgvector.NewVector(r.vector),
		"half":      pgvector.NewHalfVector(r.vector),
		"sparse":    pgvector.NewSparseVector(r.vector),
		"bits":      bits,
	}
}

func (r row) record() []any {
	record := []any{r.id, r.category}
	for _, column := range columns {
		record = append(record, r.values()[column])
	}
	return record
}

// answer is the exact one to a search.
type answer struct {
	ids       []int32
	distances []float64
}

// search is which: the answer's key.
type search struct {
	metric   string
	query    int
	filtered bool
}

var (
	items   []row
	queries []row
	answers = map[search]answer{}
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func lines(name string) [][]string {
	text := must(os.ReadFile(filepath.Join(os.Getenv("VX_CLIENTS_DATA"), name)))
	var all [][]string
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return all
}

func number(text string) int32 { return int32(must(strconv.Atoi(text))) }

func floats(text string) []float64 {
	var all []float64
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, must(strconv.ParseFloat(part, 64)))
	}
	return all
}

func vector(text string) []float32 {
	var all []float32
	for _, x := range floats(strings.Trim(text, "[]")) {
		all = append(all, float32(x))
	}
	return all
}

func load() {
	for _, field := range lines("items.tsv") {
		items = append(items, row{number(field[0]), number(field[1]), vector(field[2]), field[4]})
	}
	for _, field := range lines("queries.tsv") {
		queries = append(queries, row{0, 0, vector(field[0]), field[2]})
	}
	for _, field := range lines("answers.tsv") {
		var ids []int32
		for part := range strings.SplitSeq(field[3], ",") {
			ids = append(ids, number(part))
		}
		answers[search{field[0], int(number(field[1])), field[2] != "-"}] = answer{ids, floats(field[4])}
	}
}

var failed bool

// try does something and tells its result.
func try(what string, action func() error) {
	err := action()
	if err == nil {
		fmt.Println("ok go:", what)
	} else {
		failed = true
		fmt.Printf("not ok go: %s - %.400s\n", what, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// answered compares with the exact answer.
func answered(of search, got answer) error {
	wanted := answers[of]
	if !slices.Equal(got.ids, wanted.ids) {
		return fmt.Errorf("%v: got %v, not %v", of, got.ids, wanted.ids)
	}
	for i, distance := range got.distances {
		if math.Abs(distance-wanted.distances[i]) > 1e-3 {
			return fmt.Errorf("%v: row %d at %v, not %v", of, got.ids[i], distance, wanted.distances[i])
		}
	}
	return nil
}

// scans tells whether a plan is a scan of this index.
func scans(plan []string, index string) error {
	if !strings.Contains(strings.Join(plan, "\n"), "Index Scan using "+index+" ") {
		return errors.New("no scan of " + index + ": " + strings.Join(plan, " | "))
	}
	return nil
}
