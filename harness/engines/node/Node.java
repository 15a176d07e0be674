import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * One OpenSearch node on 127.0.0.1, its modules taken from the class path.
 * By reflection alone, so that one class file starts 2.x on Java 17 and 3.x on a newer one.
 * Arguments: folder, HTTP port, transport port. -Dcountersign.without=NAME leaves a module out.
 */
public class Node {
    /** Modules, under the names that 2.x and 3.x give to their classes. */
    static final String[] MODULES = {
        "transport.Netty4", "analysis.common.CommonAnalysis", "painless.Painless", "ingest.common.IngestCommon",
        "index.mapper.MapperExtras", "index.reindex.Reindex", "script.expression.Expression", "script.mustache.Mustache",
    };

    public static void main(String[] given) throws Exception {
        Path home = Paths.get(given[0]).toAbsolutePath();
        Files.createDirectories(home.resolve("config"));
        String without = System.getProperty("countersign.without", "-");
        List<Class<?>> modules = new ArrayList<>();
        for (String name : MODULES) {
            if (name.contains(without)) continue;
            for (String form : new String[] {"Plugin", "ModulePlugin"}) {
                try {
                    modules.add(Class.forName("org.opensearch." + name + form));
                } catch (ClassNotFoundException other) {
                    // the other version's name
                }
            }
        }
        Class<?> settings = Class.forName("org.opensearch.common.settings.Settings");
        Object builder = settings.getMethod("builder").invoke(null);
        Method put = builder.getClass().getMethod("put", String.class, String.class);
        String[][] values = {
            {"path.home", home.toString()}, {"cluster.name", "countersign"}, {"node.name", "one"},
            {"http.type", "netty4"}, {"transport.type", "netty4"}, {"network.host", "127.0.0.1"},
            {"http.port", given[1]}, {"transport.port", given[2]}, {"discovery.type", "single-node"},
            {"cluster.routing.allocation.disk.threshold_enabled", "false"},
            {"script.max_compilations_rate", "100000/1m"}, {"script.painless.regex.enabled", "true"},
        };
        for (String[] pair : values) put.invoke(builder, pair[0], pair[1]);
        Object environment = Class.forName("org.opensearch.env.Environment").getConstructor(settings, Path.class)
            .newInstance(builder.getClass().getMethod("build").invoke(builder), home.resolve("config"));
        Object node = Class.forName("org.codelibs.opensearch.runner.node.OpenSearchRunnerNode")
            .getConstructor(environment.getClass(), Collection.class).newInstance(environment, modules);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.getClass().getMethod("close").invoke(node);
            } catch (ReflectiveOperationException failed) {
                failed.printStackTrace();
            }
        }));
        node.getClass().getMethod("start").invoke(node);
        while (System.in.read() >= 0) {
            // whoever started this holds the other end: where that ends, however it does, so does the node
        }
        System.exit(0);
    }
}
