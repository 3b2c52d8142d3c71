import { describe, it, expect } from '@jest/globals';
import { ClusterError, errorCodes, type ClusterErrorCode } from '../src/errors.js';

const codes = Object.keys(errorCodes) as ClusterErrorCode[]; // keys of a constant

describe('ClusterError', () => {
  it.each(codes)('%s has the shape of http-errors', (code) => {
    const error = new ClusterError(code, 'what happened');
    const { status } = errorCodes[code];
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'ClusterError', code, message: 'what happened', status, statusCode: status, expose: status < 500 });
    expect(error.headers).toEqual(status === 503 && code !== 'CLUSTER_UNKNOWN_OUTCOME' ? { 'Retry-After': '1' } : {});
  });

  it.each(codes)('%s says what it means and what to do, in sentences', (code) => {
    expect(code).toMatch(/^CLUSTER_[A-Z_]+$/);
    expect(errorCodes[code].meaning).toMatch(/^[A-Z].*\.$/);
    expect(errorCodes[code].remedy).toMatch(/^[A-Z].*\.$/);
  });

  it('carries a cause only if there is one', () => {
    const cause = new Error('ECONNREFUSED');
    expect(new ClusterError('CLUSTER_UNAVAILABLE', 'x', { cause }).cause).toBe(cause);
    expect(Object.hasOwn(new ClusterError('CLUSTER_UNAVAILABLE', 'x'), 'cause')).toBe(false);
  });

  it('says when to retry', () => {
    expect(new ClusterError('CLUSTER_LOCKED', 'x', { retryAfterS: 5 }).headers).toEqual({ 'Retry-After': '5' });
    expect(new ClusterError('CLUSTER_CONFLICT', 'x', { retryAfterS: 5 }).headers).toEqual({});
  });

  it('is told by name and code, also from a second copy of the package', () => {
    const foreign = Object.assign(new Error('x'), { name: 'ClusterError', code: 'CLUSTER_LOCKED' });
    expect(ClusterError.is(foreign)).toBe(true);
    expect(ClusterError.is(foreign, 'CLUSTER_LOCKED')).toBe(true);
    expect(ClusterError.is(foreign, 'CLUSTER_MOVED')).toBe(false);
    for (const other of [new Error('x'), { name: 'ClusterError', code: 'CLUSTER_LOCKED' }, undefined, 'CLUSTER_LOCKED']) {
      expect(ClusterError.is(other)).toBe(false);
    }
  });
});
