import 'reflect-metadata';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Container } from 'inversify';
import { ClusterStore, DistributedManager, Manager } from '@cluster/core';
import { managerModule } from '@cluster/core/inversify';
import { FilesystemStore } from '../src/index.js';
import { filesystemStoreModule } from '../src/inversify.js';
import { removeFolder, temporaryFolder } from './processes.js';

let directory: string;
beforeEach(async () => { directory = await temporaryFolder(); });
afterEach(() => removeFolder(directory));

describe('the options', () => {
  it('are refused all at once, each with what was expected and found', () => {
    const options = { directory: '', instanceId: 'no spaces', allowNetworkMounts: 'yes', path: '/tmp' };
    // What a caller without types could pass.
    expect(() => new FilesystemStore(options as unknown as { directory: string })).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION',
      message: "FilesystemStore: directory: expected the path of a folder, found ''; "
        + "instanceId: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'no spaces'; "
        + "allowNetworkMounts: expected true or false, found 'yes'; "
        + 'path: no such option; known are directory, instanceId, allowNetworkMounts, clock',
    }));
  });

  it('include a directory at least', () => {
    expect(() => new FilesystemStore({} as { directory: string })).toThrow('directory is required: expected the path of a folder');
  });
});

describe('in a container', () => {
  it('the store is one object, which the manager gets, and which is stopped when it is unbound', async () => {
    const container = new Container();
    container.load(filesystemStoreModule({ directory, instanceId: 'web-1' }), managerModule({ context: 'shop' }));
    const manager = container.get<Manager>(Manager);
    expect(manager.store.instanceId).toBe('web-1');
    expect(manager.store).toBeInstanceOf(FilesystemStore);
    expect(container.get<ClusterStore>(ClusterStore)).toBe(manager.store);
    await manager.start();
    await container.unbindAllAsync();
    expect(manager.health().status).toBe('stopped');
    // Its address is free again.
    const again = new DistributedManager(new FilesystemStore({ directory, instanceId: 'web-1' }), { context: 'shop' });
    await again.start();
    await again.stop();
  });
});
