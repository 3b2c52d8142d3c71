import { Clock, name, type OptionSpec, type OptionSpecs, type ResolvedOptions } from '@cluster/core/driver';

/** The options of a filesystem store. */
export const filesystemStoreOptions = {
  directory: {
    default: undefined, required: true, expected: 'the path of a folder',
    accepts: (value) => typeof value === 'string' && value.length > 0 && !value.includes('\0'),
    meaning: 'Where the sessions are kept; made if it is not there. On a local disk, the same for all instances.',
  } satisfies OptionSpec<string | undefined> as OptionSpec<string | undefined>,
  instanceId: name(undefined, 'Name of this instance in locks and signals. Default: a random one.'),
  allowNetworkMounts: {
    default: false, expected: 'true or false', accepts: (value) => typeof value === 'boolean',
    meaning: 'Accepts a file system that several hosts could share (NFS, SMB, FUSE, 9p, virtiofs …). '
      + 'All instances must be on one host all the same.',
  } satisfies OptionSpec<boolean> as OptionSpec<boolean>,
  clock: {
    default: Clock.system, expected: 'a Clock',
    accepts: (value) => typeof value === 'object' && value !== null && typeof Reflect.get(value, 'wallMs') === 'function',
    meaning: 'Where time and chance come from; another one only in tests.',
  } satisfies OptionSpec<Clock> as OptionSpec<Clock>,
} as const satisfies OptionSpecs;

type Resolved = ResolvedOptions<typeof filesystemStoreOptions>;

/** Options of a filesystem store; `directory` is required. */
export type FilesystemStoreOptions = { readonly directory: string } & { readonly [K in keyof Omit<Resolved, 'directory'>]?: Resolved[K] };
