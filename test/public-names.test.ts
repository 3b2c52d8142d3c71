import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import ts from 'typescript';

interface Door { readonly values: string; readonly types: string }

/** Every door that users import from, with its whole list of names. A token counts as a value, its interface goes with it. */
const doors: Readonly<Record<string, Door>> = {
  '@cluster/core': {
    values: 'ClusterError ClusterStore DistributedManager Manager MemoryStore',
    types: 'ClusterErrorCode FindOptions Health LockHolder ManagerEvents ManagerOptions Session SessionData SessionSnapshot StoreCapabilities',
  },
  '@cluster/core/driver': {
    values: 'behind Clock ClusterStoreBase count hasMethods isClusterStore managerOptions milliseconds name oneOf resolveOptions shown tableOf',
    types: 'Absent Acquired Behind Change Claim Codec Committed Creation DriverContext Encoded Entry Found Gone LogRecord ManualClock Message OptionSpec OptionSpecs '
      + 'Removed ResolvedOptions SessionLog SessionMap SessionRecord SessionTable Stamp StoreCapabilities Then Write',
  },
  '@cluster/core/inversify': { values: 'managerModule', types: '' },
  '@cluster/http': { values: 'session', types: 'CookieOptions SessionMiddleware SessionOptions' },
  '@cluster/http/testing': { values: 'signIn', types: '' },
  '@cluster/conformance': { values: 'checkHistory historyLines testDriver testProcesses testStore', types: 'DriverHarness HistoryOperation ProcessHarness StoreHarness' },
  '@cluster/store-filesystem': { values: 'FilesystemStore', types: 'FilesystemStoreOptions' },
  '@cluster/store-filesystem/inversify': { values: 'filesystemStoreModule', types: '' },
  '@cluster/store-kafka': { values: 'KafkaStore', types: 'KafkaConnect KafkaPort KafkaRecord KafkaStoreOptions Reader Reading StoredRecord TopicSettings' },
  '@cluster/store-kafka/inversify': { values: 'kafkaStoreModule', types: '' },
  '@cluster/store-rabbitmq': { values: 'RabbitStore', types: 'RabbitStoreOptions' },
  '@cluster/store-rabbitmq/inversify': { values: 'rabbitStoreModule', types: '' },
  '@cluster/store-nats': { values: 'NatsStore', types: 'NatsStoreOptions' },
  '@cluster/store-nats/inversify': { values: 'natsStoreModule', types: '' },
  '@cluster/store-redis': { values: 'RedisStore', types: 'RedisStoreOptions' },
  '@cluster/store-redis/inversify': { values: 'redisStoreModule', types: '' },
};
/** What one reads about before using the library at all. */
const maxNamesOnMainDoor = 15;

const repository = dirname(import.meta.dirname);
const words = (text: string) => text.split(' ').filter((word) => word !== '');

interface Manifest { readonly name: string; readonly exports?: Readonly<Record<string, { readonly '@cluster/source'?: string } | string>> }

function doorsOnDisk(): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of readdirSync(join(repository, 'packages'))) {
    const file = join(repository, 'packages', folder, 'package.json');
    if (!existsSync(file)) continue;
    // The fields named in Manifest are read by Node in the same way.
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
    for (const [path, target] of Object.entries(manifest.exports ?? {})) {
      const source = typeof target === 'string' ? undefined : target['@cluster/source'];
      if (source !== undefined) found.set(manifest.name + path.slice(1), join(dirname(file), source));
    }
  }
  return found;
}

/** The exported names of each source file: a name that only the type checker knows is a type. */
function exportsOf(files: readonly string[]): (file: string) => Door {
  const { config } = ts.readConfigFile(join(repository, 'tsconfig.test.json'), (path) => readFileSync(path, 'utf8')) as { config: unknown };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository);
  const program = ts.createProgram([...files], options);
  const checker = program.getTypeChecker();
  const isValue = (symbol: ts.Symbol) => {
    const isTypeOnly = symbol.declarations?.some((declaration) => ts.isTypeOnlyExportDeclaration(declaration)) === true;
    const target = (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol);
    return !isTypeOnly && (target.flags & ts.SymbolFlags.Value) !== 0;
  };
  return (file) => {
    const source = program.getSourceFile(file);
    const module = source && checker.getSymbolAtLocation(source);
    const symbols = module === undefined ? [] : checker.getExportsOfModule(module);
    const sorted = (wanted: boolean) => symbols.filter((symbol) => isValue(symbol) === wanted).map(({ name }) => name).sort().join(' ');
    return { values: sorted(true), types: sorted(false) };
  };
}

describe('public names', () => {
  let onDisk: Map<string, string>;
  let exported: (file: string) => Door;
  beforeAll(() => {
    onDisk = doorsOnDisk();
    exported = exportsOf([...onDisk.values()]);
  });

  it('are listed for every door', () => {
    expect([...onDisk.keys()].sort()).toEqual(Object.keys(doors).sort());
  });

  it.each(Object.entries(doors))('%s exports what is listed', (door, { values, types }) => {
    expect(exported(onDisk.get(door) ?? '')).toEqual({ values: words(values).sort().join(' '), types: words(types).sort().join(' ') });
  });

  it('are few on the main door', () => {
    const { values = '', types = '' } = doors['@cluster/core'] ?? {};
    expect(words(`${values} ${types}`).length).toBeLessThanOrEqual(maxNamesOnMainDoor);
  });

  it('are there when the door is imported', async () => {
    for (const door of onDisk.keys()) {
      const names: string[] = Object.keys(await import(door) as object);
      expect(names.sort().join(' ')).toBe(words(doors[door]?.values ?? '').sort().join(' '));
    }
  });
});
