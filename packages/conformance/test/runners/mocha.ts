import { after, describe, it } from 'mocha';
import { registerSubjects } from './subjects.js';

registerSubjects({ describe, it }, after);
