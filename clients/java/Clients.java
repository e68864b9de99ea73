// pgvector's classes for JDBC against vectorx: COPY, batches, prepared statements in text and in
// binary form.

import com.pgvector.PGbit;
import com.pgvector.PGhalfvec;
import com.pgvector.PGsparsevec;
import com.pgvector.PGvector;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.postgresql.PGConnection;
import org.postgresql.util.PGobject;

final class Clients {
    record Index(String column, String type, String metric, String operator) {
        String name() {
            return column + "_" + metric;
        }
    }

    /** A row of the table, or a query, whose id and category are 0. */
    record Row(int id, int category, float[] vector, String bits) {
        PGobject value(String column) throws Exception {
            return switch (column) {
                case "embedding" -> new PGvector(vector);
                case "half" -> new PGhalfvec(vector);
                case "sparse" -> new PGsparsevec(vector);
                default -> new PGbit(bits);
            };
        }
    }

    record Answer(List<Integer> ids, List<Double> distances) {}

    interface Action {
        void run() throws Exception;
    }

    static final List<String> COLUMNS = List.of("embedding", "half", "sparse", "bits");
    static final List<Index> INDEXES = new ArrayList<>();
    static final List<Row> ITEMS = new ArrayList<>();
    static final List<Row> QUERIES = new ArrayList<>();
    static final Map<String, Answer> ANSWERS = new HashMap<>();
    static boolean failed;

    static List<String[]> lines(String name) throws Exception {
        Path file = Path.of(System.getenv("VX_CLIENTS_DATA"), name);
        return Files.readAllLines(file).stream().map(line -> line.split("\t")).toList();
    }

    static float[] vector(String text) {
        String[] parts = text.substring(1, text.length() - 1).split(",");
        float[] vector = new float[parts.length];
        for (int i = 0; i < parts.length; i++) {
            vector[i] = Float.parseFloat(parts[i]);
        }
        return vector;
    }

    static void load() throws Exception {
        String[][] metrics = {{"l2", "<->"}, {"ip", "<#>"}, {"cosine", "<=>"}, {"l1", "<+>"}};
        for (String[] metric : metrics) {
            INDEXES.add(new Index("embedding", "vector", metric[0], metric[1]));
            INDEXES.add(new Index("half", "halfvec", metric[0], metric[1]));
            INDEXES.add(new Index("sparse", "sparsevec", metric[0], metric[1]));
        }
        INDEXES.add(new Index("bits", "bit", "hamming", "<~>"));
        INDEXES.add(new Index("bits", "bit", "jaccard", "<%>"));
        for (String[] field : lines("items.tsv")) {
            ITEMS.add(new Row(Integer.parseInt(field[0]), Integer.parseInt(field[1]), vector(field[2]), field[4]));
        }
        for (String[] field : lines("queries.tsv")) {
            QUERIES.add(new Row(0, 0, vector(field[0]), field[2]));
        }
        for (String[] field : lines("answers.tsv")) {
            List<Integer> ids = Arrays.stream(field[3].split(",")).map(Integer::valueOf).toList();
            List<Double> distances = Arrays.stream(field[4].split(",")).map(Double::valueOf).toList();
            ANSWERS.put(field[0] + " " + field[1] + " " + !field[2].equals("-"), new Answer(ids, distances));
        }
    }

    /** Does something and tells its result. */
    static void attempt(String what, Action action) {
        try {
            action.run();
            System.out.println("ok java: " + what);
        } catch (Exception | AssertionError error) {
            failed = true;
            System.out.println("not ok java: " + what + " - " + error.toString().replace('\n', ' '));
        }
    }

    static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static Connection connect(String options) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE") + options;
        return DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"));
    }

    static void execute(Connection db, String statement) throws Exception {
        try (var run = db.createStatement()) {
            run.execute(statement);
        }
    }

    static void copy(Connection db, List<Row> rows) throws Exception {
        StringBuilder text = new StringBuilder();
        for (Row row : rows) {
            text.append(row.id()).append('\t').append(row.category());
            for (String column : COLUMNS) {
                text.append('\t').append(row.value(column).getValue());
            }
            text.append('\n');
        }
        db.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY items FROM STDIN", new StringReader(text.toString()));
    }

    static void insert(Connection db, List<Row> rows) throws Exception {
        try (PreparedStatement insert = db.prepareStatement("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)")) {
            for (Row row : rows) {
                insert.setInt(1, row.id());
                insert.setInt(2, row.category());
                for (int i = 0; i < COLUMNS.size(); i++) {
                    insert.setObject(3 + i, row.value(COLUMNS.get(i)));
                }
                insert.addBatch();
            }
            insert.executeBatch();
        }
    }

    static void read(Connection db) throws Exception {
        int number = 0;
        try (var run = db.createStatement(); ResultSet rows = run.executeQuery("SELECT * FROM items ORDER BY id")) {
            while (rows.next()) {
                Row row = ITEMS.get(number++);
                for (String column : List.of("embedding", "half", "sparse")) {
                    Object got = rows.getObject(column);
                    float[] vector = got instanceof PGvector v ? v.toArray()
                        : got instanceof PGhalfvec h ? h.toArray() : ((PGsparsevec) got).toArray();
                    require(Arrays.equals(vector, row.vector()), "row " + row.id() + " has another " + column);
                }
                require(rows.getString("bits").equals(row.bits()), "row " + row.id() + " has other bits");
            }
        }
        require(number == ITEMS.size(), number + " rows");
    }

    static void search(Connection db, Index index) throws Exception {
        for (int number = 0; number < QUERIES.size(); number++) {
            for (boolean filtered : new boolean[] {false, true}) {
                String text = "SELECT id, " + index.column() + " " + index.operator() + " ? AS distance FROM items "
                    + (filtered ? "WHERE category = 1 " : "") + "ORDER BY distance LIMIT ?";
                Answer answer = ANSWERS.get(index.metric() + " " + number + " " + filtered);
                List<Integer> ids = new ArrayList<>();
                try (PreparedStatement ask = db.prepareStatement(text)) {
                    // from the fifth time on it is a prepared one of the server's
                    for (int time = 0; time < 7; time++) {
                        ids.clear();
                        ask.setObject(1, QUERIES.get(number).value(index.column()));
                        ask.setInt(2, filtered ? 5 : 10);
                        try (ResultSet rows = ask.executeQuery()) {
                            while (rows.next()) {
                                double distance = answer.distances().get(ids.size());
                                ids.add(rows.getInt(1));
                                require(Math.abs(rows.getDouble(2) - distance) < 1e-3, "distance " + rows.getDouble(2) + ", not " + distance);
                            }
                        }
                        require(ids.equals(answer.ids()), "got " + ids + ", not " + answer.ids());
                    }
                }
                plan(db, text, index, QUERIES.get(number), filtered);
            }
        }
    }

    static void plan(Connection db, String text, Index index, Row query, boolean filtered) throws Exception {
        StringBuilder plan = new StringBuilder();
        try (PreparedStatement explain = db.prepareStatement("EXPLAIN " + text)) {
            explain.setObject(1, query.value(index.column()));
            explain.setInt(2, filtered ? 5 : 10);
            try (ResultSet rows = explain.executeQuery()) {
                while (rows.next()) {
                    plan.append(rows.getString(1)).append(" | ");
                }
            }
        }
        require(plan.indexOf("Index Scan using " + index.name() + " ") >= 0, "no scan of " + index.name() + ": " + plan);
    }

    public static void main(String[] arguments) throws Exception {
        load();
        try (Connection db = connect("")) {
            attempt("CREATE EXTENSION, types", () -> {
                execute(db, "CREATE EXTENSION IF NOT EXISTS vector");
                PGvector.registerTypes(db);
                execute(db, "CREATE TABLE items (id int PRIMARY KEY, category int, embedding vector(8), half halfvec(8), "
                    + "sparse sparsevec(8), bits bit(64))");
            });
            attempt("COPY", () -> copy(db, ITEMS.subList(0, 200)));
            attempt("an index of each type and metric", () -> {
                for (Index index : INDEXES) {
                    execute(db, "CREATE INDEX " + index.name() + " ON items USING hnsw (" + index.column() + " "
                        + index.type() + "_" + index.metric() + "_ops)");
                }
            });
            attempt("INSERT in a batch", () -> insert(db, ITEMS.subList(200, ITEMS.size())));
        }
        for (String form : new String[] {"text", "binary"}) {
            String options = form.equals("text") ? "?binaryTransfer=false" : "?prepareThreshold=-1";
            try (Connection db = connect(options)) {
                PGvector.registerTypes(db);
                attempt(form + " form: what is read is what was written", () -> read(db));
                for (Index index : INDEXES) {
                    attempt(form + " form: search " + index.column() + " " + index.metric(), () -> search(db, index));
                }
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
