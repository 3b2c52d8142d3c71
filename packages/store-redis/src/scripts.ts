import { createHash } from 'node:crypto';

/** A step that the server takes as a whole. */
export interface Script {
  readonly sha: string;
  readonly text: string;
}

const script = (...parts: readonly string[]): Script => {
  const text = parts.join('\n').trim();
  return { text, sha: createHash('sha1').update(text).digest('hex') };
};

/** Marks bytes among the values of a hash: no UTF-8 text begins with it. */
export const BYTES = 0xff;
/** Begins the names of fields that are attributes; the others are the record's own. */
export const ATTRIBUTE = '.';

const common = `
local key = KEYS[1]
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Lua's stack takes some thousand arguments.
local function put(first)
  for from = first, #ARGV, 4000 do redis.call('HSET', key, unpack(ARGV, from, math.min(from + 3999, #ARGV))) end
end
-- Refused by a replica although there is nothing to remove: one that is cut off would answer with what is old. And a script that
-- has called what writes is no longer held to maxmemory.
local function asPrimary(answer)
  redis.call('HDEL', key, '')
  return answer
end`;

/** A step that adds nothing worth speaking of, and goes on when the memory is full. */
const slight = (...parts: readonly string[]): Script => script(common, 'asPrimary()', ...parts);
/** A step that stores content; full memory refuses its first HSET, before which nothing may be written. */
const storing = (...parts: readonly string[]): Script => script(common, ...parts);

/** The fields of a record that \`found\` gives, in this order. */
export const RECORD_FIELDS = ['format', 'version', 'grant', 'holder', 'lock', 'last', 'lifetime', 'created'] as const;

const found = `
local function found(haveGrant, haveVersion)
  local fields = redis.call('HMGET', key, ${RECORD_FIELDS.map((name) => `'${name}'`).join(', ')})
  local isKnown = fields[3] == haveGrant and fields[2] == haveVersion
  return { math.max(0, now() - fields[8]), redis.call('PTTL', key), fields, not isKnown and redis.call('HGETALL', key) }
end`;

/** incarnation, grant, from, the grant and version that the caller has */
export const acquire = slight(found, `
local gone, holder, lock = unpack(redis.call('HMGET', key, 'gone', 'holder', 'lock'))
if gone or not lock then return gone or '' end
if lock ~= ARGV[2] then
  if lock == '' then
    redis.call('HSET', key, 'holder', ARGV[1], 'lock', ARGV[2])
  elseif lock == ARGV[3] then
    redis.call('HSET', key, 'holder', ARGV[1], 'lock', ARGV[2], 'last', holder)
  else
    return { holder, lock }
  end
end
return found(ARGV[4], ARGV[5])`);

/** the grant and version that the caller has */
export const read = slight(found, `
local gone, version = unpack(redis.call('HMGET', key, 'gone', 'version'))
if gone or not version then return gone or '' end
return found(ARGV[1], ARGV[2])`);

/** incarnation, grant, 'keep' or 'release', lifetime, format, fields and values; 1: created */
export const create = storing(`
local grant, version, gone = unpack(redis.call('HMGET', key, 'grant', 'version', 'gone'))
if gone or version then return asPrimary(version and grant == ARGV[2] and 1 or 0) end
local keeps = ARGV[3] == 'keep'
redis.call('HSET', key, 'format', ARGV[5], 'version', 1, 'grant', ARGV[2], 'holder', keeps and ARGV[1] or '', 'lock', keeps and ARGV[2] or '',
  'last', keeps and '' or ARGV[1], 'lifetime', ARGV[4], 'created', now())
put(6)
local expiry = redis.pcall('PEXPIRE', key, ARGV[4])
if type(expiry) ~= 'table' then return 1 end
redis.call('UNLINK', key)
return redis.error_reply('NOPERM scripts may not call pexpire')`);

/**
 * grant, the base's grant and version (where a change is made), lifetime (0: as it is), 'keep' or the next holder's incarnation and
 * grant (empty: none), what is taken away: nothing (empty: no change), 'whole' or a number of fields; these fields, then fields
 * and values. A number: the version that is there now.
 */
export const commit = storing(`
local version, grant, holder, lock = unpack(redis.call('HMGET', key, 'version', 'grant', 'holder', 'lock'))
if not version then return asPrimary(redis.call('HGET', key, 'gone') or 'fenced') end
local changes, nextVersion, first = ARGV[7] ~= '', tonumber(version), 8
if changes then
  nextVersion = ARGV[3] + 1
  if grant == ARGV[1] and tonumber(version) == nextVersion then return asPrimary(nextVersion) end
end
if lock ~= ARGV[1] then return asPrimary('fenced') end
if changes then
  if grant ~= ARGV[2] or version ~= ARGV[3] then return asPrimary('behind') end
  if ARGV[7] ~= 'whole' then first = first + ARGV[7] end
else
  asPrimary()
end
put(first)
for n = 8, first - 1 do redis.call('HDEL', key, ARGV[n]) end
if ARGV[7] == 'whole' then
  local stays = {}
  for n = first, #ARGV, 2 do stays[ARGV[n]] = true end
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 1) == '${ATTRIBUTE}' and not stays[name] then redis.call('HDEL', key, name) end
  end
end
if ARGV[5] ~= 'keep' then redis.call('HSET', key, 'last', holder, 'holder', ARGV[5], 'lock', ARGV[6]) end
if ARGV[4] ~= '0' then redis.call('PEXPIRE', key, ARGV[4]) end
return nextVersion`);

/** grant (empty: forced), the base's grant and version, why, keepMs */
export const remove = slight(`
local gone, version, grant, holder, lock, given = unpack(redis.call('HMGET', key, 'gone', 'version', 'grant', 'holder', 'lock', 'given'))
local forced = ARGV[1] == ''
local removed = forced and lock and lock ~= '' and { holder, lock } or 'removed'
if gone then
  if forced and gone == 'removed' or not forced and given == ARGV[1] then return removed end
  return { gone }
end
if not version then return forced and removed or {} end
if not forced then
  if lock ~= ARGV[1] then return {} end
  if ARGV[2] ~= '' and (grant ~= ARGV[2] or version ~= ARGV[3]) then return 'behind' end
end
redis.call('UNLINK', key)
redis.call('HSET', key, 'gone', ARGV[4], 'given', ARGV[1], 'holder', holder, 'lock', lock)
redis.call('PEXPIRE', key, ARGV[5])
return removed`);

/** lifetime; 0: there is no record */
export const touch = slight(`
if redis.call('HEXISTS', key, 'version') == 0 then return 0 end
local lifetime = string.format('%d', math.max(redis.call('PTTL', key), ARGV[1]))
redis.call('HSET', key, 'lifetime', lifetime)
redis.call('PEXPIRE', key, lifetime)
return 1`);

/** Names this server, from its start on. */
const server = `
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''`;

/** beat, leaseMs; 0: lapsed */
export const beat = slight(server, `
local last, ended = unpack(redis.call('HMGET', key, 'beat', 'ended'))
local n = tonumber(ARGV[1])
if ended or not last and n > 0 then return 0 end
if last and tonumber(last) > n then return 1 end
redis.call('HSET', key, 'beat', ARGV[1], 'at', now() + 1, 'lease', ARGV[2], 'server', server)
redis.call('PEXPIRE', key, 3 * ARGV[2])
return 1`);

/**
 * quietMs; the ms to wait. Who last beat at another server, of which this one took the place, has not been quiet yet: it could not
 * beat meanwhile, and may have what this server lost. It gets the time to find this one, in which it repeats its beat.
 */
export const lapse = slight(server, `
local at, lease, ended, beatAt = unpack(redis.call('HMGET', key, 'at', 'lease', 'ended', 'server'))
if ended or not at then return 0 end
if beatAt ~= server and ARGV[1] ~= '0' then
  at = now() + math.ceil(lease / 10)
  redis.call('HSET', key, 'at', at, 'server', server)
  redis.call('PEXPIRE', key, 3 * lease)
end
local wait = ARGV[1] - (now() - at)
if wait > 0 and ARGV[1] ~= '0' then return wait end
redis.call('HSET', key, 'ended', 1)
redis.call('PEXPIRE', key, 6 * lease)
return 0`);

/** Names the server's timeline. Takes no key. */
export const generation = script(`
local replication = redis.call('INFO', 'replication')
if string.find(replication, 'role:slave', 1, true) then return redis.error_reply('READONLY this server is a replica') end
return (string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '') .. '.' .. (string.match(replication, 'master_replid:(%w+)') or '')`);

/** Calls each command of the scripts on a key that is not there, and leaves nothing. Those that are refused, and why the first one is. */
export const rights = script(`
local key, refused, why = KEYS[1], {}, ''
local function may(name, ...)
  local answer = redis.pcall(name, ...)
  if type(answer) ~= 'table' or not answer.err then return true end
  if #refused == 0 then why = answer.err end
  refused[#refused + 1] = string.lower(name)
end
may('HDEL', key, '')
may('TIME')
for _, name in ipairs({ 'HGETALL', 'HKEYS', 'PTTL' }) do may(name, key) end
for _, name in ipairs({ 'HEXISTS', 'HGET', 'HMGET' }) do may(name, key, '') end
may('PEXPIRE', key, 1)
if may('UNLINK', key) and may('HSET', key, 'n', 1) then redis.call('UNLINK', key) end
return { table.concat(refused, ', '), why }`);
