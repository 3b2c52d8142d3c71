import { availableParallelism } from 'node:os';

// Tests run over the TypeScript sources; the condition `@cluster/source` leads every package to its `src`.
export default {
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testEnvironmentOptions: { customExportConditions: ['@cluster/source', 'node', 'node-addons'] },
  testMatch: ['<rootDir>/{packages,examples}/*/test/**/*.test.ts', '<rootDir>/simulation/test/**/*.test.ts', '<rootDir>/test/**/*.test.ts'],
  // By default jest leaves one processor out, and works on one file at a time where there are two.
  maxWorkers: availableParallelism(),
  // For a test that hangs. A machine that is busy with other work takes many times as long as a quiet one.
  testTimeout: 60_000,
  modulePathIgnorePatterns: ['/dist/'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', {
      module: { type: 'es6' }, sourceMaps: 'inline',
      jsc: { target: 'es2022', keepClassNames: true, parser: { syntax: 'typescript', decorators: true } },
    }],
  },
};
