DROP TABLE key_rotation_devices;
DROP TABLE key_rotations;
