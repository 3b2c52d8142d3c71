// The site of `npm run docs`. Pages keep their places in the repository, so that a relative link means the same on both.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitepress';

const root = join(import.meta.dirname, '../..');
const titleOf = (path) => /^# (.+)$/m.exec(readFileSync(join(root, path), 'utf8'))?.[1] ?? path;

const linkTo = (path) => ({ text: titleOf(path), link: `/${path}` });
// A folder's index comes first.
const pagesIn = (folder) => readdirSync(join(root, folder)).filter((name) => name.endsWith('.md'))
  .sort((a, b) => Number(b === 'index.md') - Number(a === 'index.md') || a.localeCompare(b)).map((name) => linkTo(`${folder}/${name}`));
const readmesIn = (folder) => readdirSync(join(root, folder)).sort().map((name) => `${folder}/${name}/README.md`)
  .filter((path) => existsSync(join(root, path))).map(linkTo);

const folders = readdirSync(join(root, 'docs'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name);
const capitalised = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** Links to sources lead somewhere on the repository's own pages; the site has no page for them, so it shows their text alone. */
function withoutSourceLinks(md) {
  md.core.ruler.push('source-links', ({ tokens }) => {
    for (const { children } of tokens) {
      let isSource = false;
      for (const token of children ?? []) {
        if (token.type === 'link_open') isSource = /^(?![a-z]+:|#).*(?<!\.md|\/)(#.*)?$/i.test(token.attrGet('href') ?? '') && !/\.md(#|$)/.test(token.attrGet('href') ?? '');
        if (!isSource || (token.type !== 'link_open' && token.type !== 'link_close')) continue;
        token.tag = 'span';
        token.attrs = null;
        if (token.type === 'link_close') isSource = false;
      }
    }
  });
}

export default defineConfig({
  title: 'cluster',
  description: 'Sessions for Node.js that any process of a cluster can serve',
  srcDir: '..',
  srcExclude: ['**/node_modules/**', '**/dist/**'],
  rewrites: { 'docs/index.md': 'index.md' },
  outDir: join(import.meta.dirname, 'dist'),
  cacheDir: join(import.meta.dirname, 'cache'),
  // Not pages, and there: test/docs.test.ts holds that every relative link leads to a file.
  ignoreDeadLinks: [/LICENSE$/],
  markdown: { config: withoutSourceLinks },
  themeConfig: {
    search: { provider: 'local' },
    nav: [{ text: 'Overview', link: '/README' }, { text: 'API', link: '/docs/reference/api/' }],
    sidebar: [
      ...folders.map((name) => ({ text: capitalised(name), items: pagesIn(`docs/${name}`) })),
      { text: 'API', link: '/docs/reference/api/' },
      { text: 'Packages', items: readmesIn('packages') },
      { text: 'Examples', items: readmesIn('examples') },
    ],
  },
});
