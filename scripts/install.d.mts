/** Where the current NATS server is once it was built. */
export declare const builtNats: string;
/** Where the jars of Kafka are once they were fetched, under `libs`, and the archive that lets it start quickly. */
export declare const kafkaFolder: string;
/** Where Debian's RabbitMQ is started from. */
export declare const rabbitScript: string;
