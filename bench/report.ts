const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const at = (values: readonly number[], share: number) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;

export const median = (values: readonly number[]): number => at(values, 0.5);

/** The middle half and the extremes, as text. */
export const spread = (values: readonly number[]): string =>
  `(quartiles ${at(values, 0.25).toFixed(1)} to ${at(values, 0.75).toFixed(1)}, extremes ${at(values, 0).toFixed(1)} to ${at(values, 1).toFixed(1)})`;
