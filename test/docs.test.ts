import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const repository = dirname(import.meta.dirname);
const textOf = (page: string) => readFileSync(join(repository, page), 'utf8');

function pagesBelow(folder: string): string[] {
  if (!existsSync(join(repository, folder))) return [];
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !/(^|\/)(node_modules|dist|\.vitepress|api)\//.test(path)).map((path) => join(folder, path));
}
const pages = [
  ...readdirSync(repository).filter((name) => name.endsWith('.md')),
  ...pagesBelow('docs'), ...pagesBelow('packages'), ...pagesBelow('examples'),
].sort();

interface Sample { readonly page: string; readonly line: number; readonly code: string }

/** Every fenced ts block. One marked `ts continued` goes on where the block before it on the page ended. */
function samplesOf(page: string, text = textOf(page)): Sample[] {
  const samples: Sample[] = [];
  for (const block of text.matchAll(/^```(?:ts|typescript)(?<marks>[^\n]*)\n(?<code>.*?)^```/gms)) {
    const { marks = '', code = '' } = block.groups ?? {};
    const before = marks.trim() === 'continued' ? samples.at(-1)?.code ?? '' : '';
    samples.push({ page, line: text.slice(0, block.index).split('\n').length, code: before + code });
  }
  return samples;
}

const compilerOptions: ts.CompilerOptions = (() => {
  const { config } = ts.readConfigFile(join(repository, 'tsconfig.test.json'), (path) => readFileSync(path, 'utf8')) as { config: unknown };
  return ts.parseJsonConfigFileContent(config, ts.sys, repository).options;
})();
const parsed = new Map<string, ts.SourceFile | undefined>();

/** What the compiler says about a sample, as a program of its own: each merges its own SessionData. */
function faultsOf({ page, line, code }: Sample): string[] {
  // Seen by the compiler only; at the root, so that packages resolve as they do for an application beside them.
  const file = join(repository, 'sample.ts');
  // A sample without imports is a module all the same.
  const content = `${code}\nexport {};\n`;
  const host = ts.createCompilerHost(compilerOptions);
  const { fileExists, getSourceFile } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.getSourceFile = (path, options) => {
    if (path === file) return ts.createSourceFile(path, content, options);
    if (!parsed.has(path)) parsed.set(path, getSourceFile.call(host, path, options));
    return parsed.get(path);
  };
  const program = ts.createProgram([file], compilerOptions, host);
  const source = program.getSourceFile(file);
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(({ messageText, start = 0 }) => {
    const row = content.slice(0, start).split('\n').length;
    return `${page}:${line} +${row}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

/** What a heading's link is called by GitHub and by the site, which agree on headings made of words. */
const anchorOf = (heading: string) => heading.toLowerCase().replace(/`|\[|\]\([^)]*\)/g, '').replace(/[^\p{L}\p{N}\s_-]/gu, '').trim().replace(/\s+/g, '-');
const withoutCode = (text: string) => text.replace(/^(```|~~~).*?^\1/gms, '').replace(/`[^`\n]*`/g, '');
const anchorsOf = (text: string) =>
  [...text.replace(/^(```|~~~).*?^\1/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));

/** The relative links of a page that lead nowhere. A link that begins with `/` starts at the root of the repository. */
function deadLinksOf(page: string, text = textOf(page)): string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)[^)]*\)/g)].map(([, link = '']) => link);
  return links.filter((link) => !/^[a-z]+:/i.test(link)).filter((link) => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : relative('/', join('/', path.startsWith('/') ? '' : dirname(page), path));
    // Made by the build of the site, which finds its own dead links.
    if (target.startsWith('docs/reference/api')) return false;
    if (target === page) return anchor !== undefined && !anchorsOf(text).includes(anchor);
    if (!existsSync(join(repository, target))) return true;
    return anchor !== undefined && statSync(join(repository, target)).isFile() && !anchorsOf(textOf(target)).includes(anchor);
  }).map((link) => `${page}: ${link}`);
}

describe('the pages', () => {
  it('link to what is there', () => {
    expect(pages.flatMap((page) => deadLinksOf(page))).toEqual([]);
  });

  it('are seen with their dead links', () => {
    const text = '# A b\n[1](LICENSE) [2](absent.md) [3](#a-b) [4](#c) [5](https://example.org) `[6](code)` [7](/package.json) [8](../x)';
    expect(deadLinksOf('page.md', text)).toEqual(['page.md: absent.md', 'page.md: #c', 'page.md: ../x']);
  });

  const samples = pages.flatMap((page) => samplesOf(page)).map((sample) => [`${sample.page}:${sample.line}`, sample] as const);
  it.each(samples)('hold samples that compile: %s', (_place, sample) => {
    expect(faultsOf(sample)).toEqual([]);
  }, 60_000);

  it('are seen with samples that do not compile', () => {
    const [good, joined, bad] = samplesOf('page.md', [
      '```ts', "import { ClusterError } from '@cluster/core';", '```', '```ts continued', 'throw new ClusterError(1, 2);', '```', '', '```ts', 'const n: number = "1";', '```',
    ].join('\n'));
    if (good === undefined || joined === undefined || bad === undefined) throw new Error('three samples expected');
    expect(faultsOf(good)).toEqual([]);
    expect(faultsOf(joined)).toEqual([expect.stringMatching(/^page\.md:4 \+2: Argument of type '1' is not assignable/)]);
    expect(faultsOf(bad)).toEqual(["page.md:8 +1: Type 'string' is not assignable to type 'number'."]);
  }, 60_000);

  it('have tables that agree with the code', () => {
    const { status, stderr } = spawnSync(process.execPath, [
      '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', 'scripts/gen-docs.ts', '--check',
    ], { cwd: repository, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  }, 30_000);
});

/** Of a page, each figure with the name in its marks; see bench/report.ts. */
const figuresOf = (text: string) => [...text.matchAll(/<!-- ([^/][^>]*) -->([^<]*)<!-- \/\1 -->/g)].map(([, name = '', figure = '']) => ({ name, figure }));

/** Those that differ from what the command of that name has put into the page of benchmarks. */
function unfounded(text: string, benchmarks: string): string[] {
  return figuresOf(text).filter(({ name, figure }) => {
    const words = name.split(' ');
    const commands = words.map((_, index) => words.slice(0, words.length - index).join(' '));
    const command = commands.find((each) => benchmarks.includes(`<!-- ${each} -->`)) ?? '';
    const table = benchmarks.split(`<!-- ${command} -->`)[1]?.split(`<!-- /${command} -->`)[0] ?? '';
    const rows = command === 'held-write' ? table.split('\n').filter((row) => row.startsWith(`| ${words.at(-1)} |`)) : [table];
    return figure === '–' ? !table.includes('Not taken') : !rows.some((row) => row.includes(`| ${figure} |`));
  }).map(({ name, figure }) => `${name}: ${figure}`);
}

describe('figures in the comparison of the stores', () => {
  it('are those of the benchmarks', () => {
    const page = textOf('docs/stores/index.md');
    expect(figuresOf(page)).toHaveLength(page.split('<!-- /').length - 1);
    expect(unfounded(page, textOf('docs/benchmarks.md'))).toEqual([]);
  });

  it('are found where they are not', () => {
    const benchmarks = '<!-- held-write -->\n| redis | 0.2 |\n| nats | 0.3 |\n<!-- /held-write -->\n<!-- page nats -->\nNot taken\n<!-- /page nats -->';
    const figure = (name: string, value: string) => `<!-- ${name} -->${value}<!-- /${name} -->`;
    expect(unfounded(figure('held-write nats', '0.3') + figure('page nats ms', '–'), benchmarks)).toEqual([]);
    const wrong = [['held-write nats', '0.2'], ['held-write redis', '–'], ['page nats ms', '24'], ['core us', '1']] as const;
    expect(unfounded(wrong.map(([name, value]) => figure(name, value)).join(''), benchmarks)).toEqual(wrong.map(([name, value]) => `${name}: ${value}`));
  });
});

describe('pinned versions', () => {
  it('each have a reason', () => {
    // The fields that npm reads there have this shape.
    const { devDependencies, overrides } = JSON.parse(textOf('package.json')) as Record<'devDependencies' | 'overrides', Record<string, string>>;
    const pinned = Object.entries({ ...devDependencies, ...overrides }).filter(([, range]) => !range.startsWith('^'));
    const table = textOf('docs/decisions/pins.md').split('Held below')[0] ?? '';
    const rows = [...table.matchAll(/^\| `([^`]+)` \| `([^`]+)` \| \S/gm)].map(([, name, range]) => [name, range]);
    expect(rows.sort()).toEqual([...pinned].sort());
  });
});
