import com.alibaba.fastjson.JSON;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.common.DataVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.admin.ConsumeStats;
import org.apache.rocketmq.common.admin.TopicStatsTable;
import org.apache.rocketmq.common.protocol.body.*;
import org.apache.rocketmq.common.protocol.header.GetConsumerListByGroupResponseBody;
import org.apache.rocketmq.common.protocol.heartbeat.*;
import org.apache.rocketmq.common.protocol.route.*;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;

/**
 * Reads every spelling of a file with Apache's own classes, and prints class, text and what was read, or "refused",
 * between tabs. What was read is printed field by field, by the names of the fields; fields that are null are left out, sets
 * are sorted, and times taken from the clock are "now".
 */
public class ReadByApache {
    static final Class<?>[] BODIES = {
        HeartbeatData.class, ProducerData.class, ConsumerData.class, SubscriptionData.class, CheckClientRequestBody.class,
        LockBatchRequestBody.class, LockBatchResponseBody.class, RegisterBrokerBody.class, TopicConfigSerializeWrapper.class,
        TopicConfig.class, DataVersion.class, SubscriptionGroupConfig.class, SubscriptionGroupWrapper.class,
        ConsumerOffsetSerializeWrapper.class, ResetOffsetBody.class, GetConsumerStatusBody.class, ConsumerRunningInfo.class,
        ProcessQueueInfo.class, ConsumeStatus.class, ConsumeMessageDirectlyResult.class, KVTable.class, ClusterInfo.class,
        TopicList.class, TopicRouteData.class, QueueData.class, ConsumerConnection.class, ProducerConnection.class,
        Connection.class, QueryConsumeTimeSpanBody.class, BrokerStatsData.class, GroupList.class,
        GetConsumerListByGroupResponseBody.class, ConsumeStats.class, TopicStatsTable.class,
    };

    static final long STARTED_MS = System.currentTimeMillis();

    public static void main(String[] args) throws Exception {
        Map<String, Class<?>> bodies = new HashMap<>();
        for (Class<?> body : BODIES) {
            bodies.put(body.getSimpleName(), body);
        }
        StringBuilder out = new StringBuilder();
        String name = null;
        String template = null;
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            String rest = line.substring(2);
            String text;
            if (line.startsWith(">")) {
                text = template.replace("%", rest);
            } else {
                int space = rest.indexOf(' ');
                name = rest.substring(0, space);
                template = rest.substring(space + 1);
                if (line.startsWith("=")) {
                    continue;
                }
                text = template;
            }
            String read;
            try {
                read = dump(read(name, bodies, text.replace("␤", "\n")));
            } catch (Throwable error) {
                read = "refused";
            }
            out.append(name).append('\t').append(text.replace("\t", "\\t")).append('\t').append(read).append('\n');
        }
        Files.writeString(Path.of(args[1]), out.toString());
        System.exit(0);
    }

    static Object read(String name, Map<String, Class<?>> bodies, String text) throws Exception {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (name.equals("RemotingCommand")) {
            ByteBuffer frame = ByteBuffer.allocate(4 + bytes.length);
            frame.putInt(bytes.length).put(bytes).flip();
            return RemotingCommand.decode(frame);
        }
        if (name.contains("RequestHeader")) {
            RemotingCommand command = RemotingCommand.createRequestCommand(0, null);
            command.setExtFields(JSON.parseObject(text, HashMap.class));
            return command.decodeCommandCustomHeader(header(name));
        }
        return RemotingSerializable.decode(bytes, bodies.get(name));
    }

    static Class<? extends CommandCustomHeader> header(String name) throws Exception {
        String all = "org.apache.rocketmq.common.protocol.header.";
        for (String place : List.of(all, all + "namesrv.", all + "filtersrv.")) {
            try {
                return Class.forName(place + name).asSubclass(CommandCustomHeader.class);
            } catch (ClassNotFoundException elsewhere) {
                // In the next one.
            }
        }
        throw new ClassNotFoundException(name);
    }

    static String dump(Object value) throws Exception {
        if (value == null) {
            return "null";
        }
        if (value instanceof String || value instanceof Enum) {
            return quoted(value instanceof Enum ? ((Enum<?>) value).name() : (String) value);
        }
        if (value instanceof Number || value instanceof Boolean) {
            // What is read from the clock where the text does not say it.
            boolean isNow = value instanceof Number && Math.abs(((Number) value).longValue() - STARTED_MS) < 60_000;
            return isNow ? "\"now\"" : value.toString();
        }
        if (value instanceof Collection) {
            List<String> items = new ArrayList<>();
            for (Object item : (Collection<?>) value) {
                items.add(dump(item));
            }
            if (!(value instanceof List)) {
                items.sort(null);
            }
            return "[" + String.join(",", items) + "]";
        }
        Map<String, String> members = new TreeMap<>();
        if (value instanceof Map) {
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                Object key = entry.getKey();
                members.put(key instanceof String ? (String) key : dump(key), dump(entry.getValue()));
            }
        } else {
            for (Class<?> of = value.getClass(); of != Object.class; of = of.getSuperclass()) {
                for (Field field : of.getDeclaredFields()) {
                    if (Modifier.isStatic(field.getModifiers()) || Modifier.isTransient(field.getModifiers())
                        || field.getType() == java.util.Random.class) {
                        continue;
                    }
                    field.setAccessible(true);
                    Object member = field.get(value);
                    if (member != null) {
                        members.put(field.getName(), dump(member));
                    }
                }
            }
        }
        List<String> pairs = new ArrayList<>();
        for (Map.Entry<String, String> member : members.entrySet()) {
            pairs.add(quoted(member.getKey()) + ":" + member.getValue());
        }
        return "{" + String.join(",", pairs) + "}";
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char unit : text.toCharArray()) {
            if (unit == '"' || unit == '\\') {
                out.append('\\').append(unit);
            } else if (unit < 0x20 || unit > 0x7E) {
                out.append(String.format("\\u%04x", (int) unit));
            } else {
                out.append(unit);
            }
        }
        return out.append('"').toString();
    }
}
