import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Collections;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.exception.RemotingException;

/**
 * One run of one command with Apache's Java client, 4.9 or 5.x: the same commands and the same lines on standard output as
 * ali-ons/driver.js, and {@code create NAMESRV GROUP TOPIC QUEUES} beside them.
 */
public final class Driver {
    private static final long SEND_DEADLINE_MS = 60_000;
    private static final long SEND_PAUSE_MS = 300;

    public static void main(String[] args) throws Exception {
        String nameServer = args[1];
        String group = args[2];
        String topic = args[3];
        switch (args[0]) {
            case "create" -> create(nameServer, group, topic, Integer.parseInt(args[4]));
            case "produce" -> produce(nameServer, group, topic, args[4], args.length > 5 ? Integer.parseInt(args[5]) : -1);
            case "consume" -> consume(nameServer, group, topic, args[4], Integer.parseInt(args[5]), Long.parseLong(args[6]),
                Long.parseLong(args[7]));
            default -> throw new IllegalArgumentException("unknown command " + args[0] + ": create, produce, consume");
        }
        say("done");
        System.exit(0);
    }

    private static DefaultMQProducer startProducer(String nameServer, String group) throws MQClientException {
        DefaultMQProducer producer = new DefaultMQProducer(group);
        producer.setNamesrvAddr(nameServer);
        producer.setClientIP("127.0.0.1");
        producer.start();
        return producer;
    }

    /** {@code createTopic} has three parameters in 4.9 and a fourth, the topic's attributes, in 5.x. */
    private static void create(String nameServer, String group, String topic, int queues) throws Exception {
        DefaultMQProducer producer = startProducer(nameServer, group);
        Method three = null;
        Method four = null;
        for (Method method : DefaultMQProducer.class.getMethods()) {
            Class<?>[] types = method.getParameterTypes();
            if (method.getName().equals("createTopic") && types.length == 3) {
                three = method;
            } else if (method.getName().equals("createTopic") && types.length == 4 && types[3] == java.util.Map.class) {
                four = method;
            }
        }
        if (four != null) {
            four.invoke(producer, "TBW102", topic, queues, Collections.emptyMap());
        } else {
            three.invoke(producer, "TBW102", topic, queues);
        }
        producer.shutdown();
    }

    private static void produce(String nameServer, String group, String topic, String plan, int pauseAfter) throws Exception {
        DefaultMQProducer producer = startProducer(nameServer, group);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int acked = 0;
        for (String line : Files.readAllLines(Path.of(plan), StandardCharsets.UTF_8)) {
            String[] field = line.split("\t", -1);
            byte[] body = Base64.getDecoder().decode(field[3]);
            long deadline = System.nanoTime() + SEND_DEADLINE_MS * 1_000_000;
            while (true) {
                Message message = new Message(topic, field[1], field[0], body);
                message.putUserProperty("note", field[2]);
                String reason;
                try {
                    SendResult result = producer.send(message);
                    if (result.getSendStatus() == SendStatus.SEND_OK) {
                        say("ack", field[0], result.getMsgId());
                        break;
                    }
                    reason = result.getSendStatus().name();
                } catch (MQClientException | RemotingException | MQBrokerException e) {
                    reason = e.toString();
                }
                say("unacked", field[0], reason.replaceAll("\\s+", " "));
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(
                        "message " + field[0] + " was not acknowledged within " + SEND_DEADLINE_MS + " ms");
                }
                Thread.sleep(SEND_PAUSE_MS);
            }
            acked += 1;
            if (acked == pauseAfter) {
                say("paused");
                input.readLine();
            }
        }
        producer.shutdown();
    }

    private static void consume(String nameServer, String group, String topic, String expression, int expected, long quietMs,
        long timeoutMs) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setClientIP("127.0.0.1");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, expression);
        Set<String> seen = Collections.synchronizedSet(new HashSet<>());
        AtomicLong last = new AtomicLong(System.nanoTime());
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            last.set(System.nanoTime());
            for (MessageExt message : messages) {
                seen.add(message.getKeys());
                say("msg", message.getKeys(), message.getTags(), sha256(message.getBody()), message.getMsgId(),
                    message.getUserProperty("note"));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        long deadline = System.nanoTime() + timeoutMs * 1_000_000;
        while (System.nanoTime() < deadline
            && (seen.size() < expected || System.nanoTime() - last.get() < quietMs * 1_000_000)) {
            Thread.sleep(50);
        }
        consumer.shutdown();
    }

    private static String sha256(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    private static void say(String... fields) {
        byte[] line = (String.join("\t", fields) + "\n").getBytes(StandardCharsets.UTF_8);
        synchronized (System.out) {
            System.out.write(line, 0, line.length);
            System.out.flush();
        }
    }
}
