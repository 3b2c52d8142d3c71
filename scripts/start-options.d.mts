/** As `parseArgs` of node:util takes them. */
export declare const options: {
  readonly once: { readonly type: 'boolean'; readonly default: boolean };
  readonly store: { readonly type: 'string'; readonly default: string };
  readonly url: { readonly type: 'string' };
  readonly port: { readonly type: 'string'; readonly default: string };
  readonly 'no-color': { readonly type: 'boolean'; readonly default: boolean };
  readonly help: { readonly type: 'boolean'; readonly default: boolean; readonly short: 'h' };
};
/** The options with their defaults, for people. */
export declare const usage: string;
