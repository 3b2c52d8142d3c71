import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const typed = {
  files: ['**/*.ts'],
  extends: [eslint.configs.recommended, tseslint.configs.strictTypeChecked],
  languageOptions: {
    parserOptions: { project: ['tsconfig.test.json', 'examples/*/tsconfig.json', 'bench/tsconfig.json', 'simulation/tsconfig.json'], tsconfigRootDir: import.meta.dirname },
  },
  rules: {
    // A number in a text is read as it is meant; the rule stays for objects, which print as [object Object].
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    // What was caught is rejected again as it came.
    '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
    // An arrow function that only calls is as clear without braces.
    '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    // A method may be declared async for its contract: what it throws then rejects.
    '@typescript-eslint/require-await': 'off',
    'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
  },
};

const sources = {
  files: ['packages/*/src/**/*.ts'],
  rules: {
    'max-lines-per-function': ['error', { max: 45, skipBlankLines: true, skipComments: true }],
    'no-restricted-syntax': ['error',
      { selector: 'ExportDefaultDeclaration', message: 'Export by name: it stays one name in every import.' },
      {
        selector: ':matches(Program > ExpressionStatement, Program > VariableDeclaration > VariableDeclarator, Program > ExportNamedDeclaration > VariableDeclaration > VariableDeclarator) > AwaitExpression',
        message: 'A top-level await makes require() of the package fail.',
      }],
  },
};

const tests = {
  files: ['**/test/**/*.ts'],
  rules: {
    // A table of cases is long and read line by line.
    'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
    // A test that is wrong about what is there fails at that place.
    '@typescript-eslint/no-non-null-assertion': 'off',
    // expect(object.method) hands a method over without calling it.
    '@typescript-eslint/unbound-method': 'off',
  },
};

export default defineConfig(
  { ignores: ['**/dist/**', '**/.cache/**', 'docs/.vitepress/cache/**', 'coverage/**'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  typed, sources, tests,
  { files: ['**/*.mjs'], extends: [eslint.configs.recommended], languageOptions: { globals: { console: 'readonly', performance: 'readonly', process: 'readonly' } } },
);
