/** Where the current NATS server is once it was built. */
export declare const builtNats: string;
